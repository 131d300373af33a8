// Images as points in a plane, coloured by the response to each, with its gradient as an arrow.
// Python decides numbers, limits, colours and words; this module draws them as SVG, which follows
// the colours of the page, and tells Python which image was chosen.
// It follows the texts of canvas.js, svg_plot.js and map_parts.js, which have what is not defined
// here.

/**
 * @typedef {{x: number, y: number, u: number, v: number, value: number, level: number}} Point
 * @typedef {{label: string, low: number, high: number, ticks: number[]}} Axis
 * @typedef {{version: number, x: Axis, y: Axis, unit: string, points: Point[], longest: number,
 *   limits: [number, number] | null, baseline: null, note: string, words: string}} Content
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function}} Model
 */

const MARGIN = { left: 66, right: 96, top: 14, bottom: 48 };
const REACH = 0.15; // length of the longest arrow, as a share of the plot
const RADIUS = 7;
const NEAR = 16; // CSS pixels from a point that choose it

class PlaneView extends SvgPlot {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    super(model, el, "orw-plane");
    this.places = [];
  }

  paint() {
    const { model, content } = this;
    const { x, y, points, longest } = content;
    this.describe("Images in a plane", !points.length);
    const width = this.stage.clientWidth;
    const height = model.get("height");
    this.stage.style.height = `${height}px`;
    if (width < 60) return; // not laid out yet: the observer calls again
    const side = Math.max(80, Math.min(
      width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom,
    ));
    const box = { left: MARGIN.left, top: MARGIN.top, side };
    const right = (value) => box.left + ((value - x.low) / (x.high - x.low)) * side;
    const up = (value) => box.top + side - ((value - y.low) / (y.high - y.low)) * side;
    this.places = points.map((point) => [right(point.x), up(point.y)]);
    const table = model.get("_colours");
    const colourOf = (level) =>
      `rgb(${[0, 1, 2].map((k) => table.getUint8(3 * level + k)).join(",")})`;
    const nodes = points.length ? [...this.axes(box, right, up),
      ...barNodes(content, `response (${content.unit})`, colourOf, box)] : [];
    nodes.push(...points.map(({ level }, k) => draw("circle", {
      class: "orw-plane-point", cx: at(this.places[k][0]), cy: at(this.places[k][1]), r: RADIUS,
      fill: colourOf(level),
    })));
    if (longest > 0) {
      const unit = (REACH * side) / longest;
      const arrows = points.map(({ u, v }, k) => [...this.places[k], unit * u, -unit * v]);
      nodes.push(...arrowNodes(arrows));
    }
    this.guide = draw("g");
    this.redraw(width, height, [...nodes, this.guide]);
  }

  axes({ left, top, side }, right, up) {
    const { x, y } = this.content;
    const bottom = top + side;
    const frame = { x: left, y: top, width: side, height: side };
    const nodes = [draw("rect", { class: "orw-map-frame", ...frame })];
    const inside = (axis) => axis.ticks.filter((tick) => tick >= axis.low && tick <= axis.high);
    for (const tick of spaced(inside(x), right, (v) => 7.2 * tickWords(v).length + 8)) {
      const spot = at(right(tick));
      nodes.push(draw("path", { class: "orw-map-axis", d: `M${spot},${at(bottom)}v5` }));
      nodes.push(text(tickWords(tick), { x: spot, y: at(bottom + 18), "text-anchor": "middle" }));
    }
    for (const tick of spaced(inside(y), up, () => 18)) {
      const spot = at(up(tick));
      nodes.push(draw("path", { class: "orw-map-axis", d: `M${at(left)},${spot}h-5` }));
      nodes.push(text(tickWords(tick), {
        x: at(left - 9), y: spot, dy: "0.35em", "text-anchor": "end",
      }));
    }
    const grey = `M${at(right(0))},${at(top)}v${at(side)}M${at(left)},${at(up(0))}h${at(side)}`;
    nodes.push(draw("path", { class: "orw-plane-grey", d: grey }));
    const label = { class: "orw-map-label", "text-anchor": "middle" };
    nodes.push(text(x.label, { ...label, x: at(left + side / 2), y: at(bottom + 38) }));
    nodes.push(text(y.label, {
      ...label, transform: `translate(${at(left - 50)},${at(top + side / 2)}) rotate(-90)`,
    }));
    return nodes;
  }

  /** Show which image is chosen, and which the pointer is at. */
  mark() {
    const chosen = this.model.get("clicked");
    const guides = [[this.hovered, "orw-map-hovered"], [chosen, "orw-map-chosen"]];
    this.guide?.replaceChildren(...guides.filter(([k]) => this.places[k]).flatMap(([k, name]) => {
      const ring = { cx: at(this.places[k][0]), cy: at(this.places[k][1]), r: RADIUS + 4 };
      return ["orw-map-halo", name].map((kind) => draw("circle", { class: kind, ...ring }));
    }));
    say(this.readout, this.inWords(this.hovered ?? chosen));
  }

  inWords(/** @type {number | null} */ k) {
    const point = this.content.points[k];
    if (!point) {
      return this.content.points.length
        ? "Click on a point, or press the arrow keys, to see its image and LSTA." : "";
    }
    return `image ${k} — response ${numeral(point.value)} ${this.content.unit}, gradient `
      + `(${numeral(point.u)}, ${numeral(point.v)})`;
  }

  /** The point nearest to the pointer. @returns {number | null} */
  under(/** @type {MouseEvent} */ event) {
    const bounds = this.drawing.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const far = this.places.map(([x, y]) => Math.hypot(x - px, y - py));
    const nearest = far.indexOf(Math.min(...far));
    return far[nearest] <= NEAR ? nearest : null;
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const n = this.content.points.length;
    const now = this.model.get("clicked");
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const goals = { Home: 0, End: n - 1 };
    if (!n || !(event.key in steps || event.key in goals)) return;
    event.preventDefault();
    if (event.key in goals) this.choose(goals[event.key]);
    else this.choose(now === null ? 0 : Math.min(n - 1, Math.max(0, now + steps[event.key])));
  }
}

export default moduleOf((model, el) => new PlaneView(model, el));
