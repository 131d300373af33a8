// Curves of several neurons, on straight axes or around a circle, and their traces over time. This
// module draws them as SVG, which follows the colours of the page, and tells Python which condition
// was chosen.
// It follows the texts of canvas.js, svg_plot.js and curve_axes.js, which have what is not defined
// here.

class CurvesView extends SvgPlot {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    super(model, el, "orw-curves");
    this.legend = makeElement("div", "orw-curves-legend");
    this.stage.before(this.legend);
  }

  /** Conditions that can be chosen. */
  get known() {
    const { curves, x, marks, hover } = this.content; // an exported page tells every point
    if (!marks && !hover) return [];
    return x.values.map((_, i) => i).filter((i) => curves.some((curve) => curve.values[i] != null));
  }

  paint() {
    const { model, content } = this;
    const width = this.stage.clientWidth;
    const height = model.get("height");
    this.stage.style.height = `${height}px`;
    const values = content.curves.flatMap((curve) => curve.values);
    this.describe("Curves", values.every((value) => value == null));
    this.note.hidden = !content.note;
    this.readout.hidden = !content.marks;
    this.drawLegend();
    if (width < 60) return; // not laid out yet: the observer calls again
    const polar = content.kind === "polar";
    this.frame = polar ? round(content, width, height) : straight(content, width, height);
    const { frame } = this;
    const axes = polar ? roundAxes(content, frame) : straightAxes(content, frame, width, height);
    const labels = polar ? ringLabels(content, frame) : [];
    if (polar) {
      labels.push(text(content.y.label, {
        class: "orw-curves-label", x: 4, y: 14, "text-anchor": "start",
      }));
    }
    const curves = [...content.curves].reverse().flatMap((c) => curveNodes(content, frame, c));
    this.guide = draw("g");
    this.redraw(width, height, [...axes, this.guide, ...curves, ...labels]);
  }

  drawLegend() {
    const { curves } = this.content;
    this.legend.hidden = !curves.length;
    const key = JSON.stringify(curves.map(({ name, colour, dash, marker }) => [name, colour, dash, marker]));
    if (key === this.legendKey) return;
    this.legendKey = key;
    this.legend.replaceChildren(...curves.map((curve) => {
      const swatch = draw("svg", { width: 34, height: 16, "aria-hidden": "true" });
      swatch.append(draw("path", { class: "orw-curves-line", d: "M1,8H33", ...paint(curve) }));
      if (this.content.marks) {
        swatch.append(draw("path", {
          class: "orw-curves-mark", d: MARKERS[curve.marker], transform: "translate(17,8)",
          style: `--colour: ${curve.colour}`,
        }));
      }
      const name = makeElement("span", "", { textContent: curve.name });
      return makeElement("span", "orw-curves-key", {}, swatch, name);
    }));
  }

  /** Show which condition is chosen, and which the pointer is at. */
  mark() {
    const { content, frame, known } = this;
    const chosen = this.model.get("clicked");
    const guides = [[this.hovered, "orw-curves-hovered"], [chosen, "orw-curves-chosen"]];
    const shown = guides.filter(([i]) => known.includes(i));
    this.guide?.replaceChildren(...shown.map(([i, name]) => {
      const value = content.x.values[i];
      const [from, to] = content.kind === "polar"
        ? [[frame.cx, frame.cy], frame.place(value, content.y.high)]
        : [[frame.right(value), frame.box.bottom], [frame.right(value), frame.box.top]];
      return draw("path", { class: name, d: pathThrough([from, to]) });
    }));
    say(this.readout, this.inWords(known.includes(this.hovered) ? this.hovered : chosen));
  }

  /** A condition and its responses. */
  inWords(/** @type {number | null} */ i) {
    const { x, curves } = this.content;
    if (!this.known.includes(i)) {
      return this.known.length ? this.content.hint
        ?? "Click on a point, or press the arrow keys, to see its stimulus and responses." : "";
    }
    const unit = x.unit && (x.unit === "°" ? "°" : ` ${x.unit}`);
    const found = curves.filter((curve) => curve.values[i] != null)
      .map((curve) => `${curve.name}: ${numeral(curve.values[i])}`);
    return `${x.name} ${tickWords(x.values[i])}${unit} — ${found.join("; ")}`;
  }

  /** The condition nearest to the pointer. @returns {number | null} */
  under(/** @type {MouseEvent} */ event) {
    const { content, frame, known } = this;
    if (!known.length || !frame) return null;
    const bounds = this.drawing.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const turns = content.kind === "polar" && content.closed === 180 ? [0, 180] : [0];
    const distance = (i) => {
      const value = content.x.values[i];
      if (content.kind !== "polar") return Math.abs(frame.right(value) - px);
      const angle = (Math.atan2(frame.cy - py, px - frame.cx) * 180) / Math.PI;
      return Math.min(...turns.map((turn) => {
        const away = Math.abs(angle - value - turn) % 360;
        return Math.min(away, 360 - away);
      }));
    };
    return known.reduce((best, i) => (distance(i) < distance(best) ? i : best));
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    const { key } = event;
    const { known } = this;
    if (event.ctrlKey || event.metaKey || event.altKey || !known.length) return;
    const now = known.indexOf(this.model.get("clicked"));
    const last = known.length - 1;
    const step = (by) => (now < 0 ? (by > 0 ? 0 : last) : (now + by + known.length) % known.length);
    const goals = {
      ArrowRight: step(1), ArrowUp: step(1), ArrowLeft: step(-1), ArrowDown: step(-1),
      Home: 0, End: last,
    };
    if (!(key in goals)) return;
    this.choose(known[goals[key]]);
    event.preventDefault();
  }
}

export default moduleOf((model, el) => new CurvesView(model, el));
