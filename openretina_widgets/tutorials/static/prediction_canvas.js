// A tuning curve, or a preferred angle, drawn by hand. What is drawn snaps to a value at each
// condition; Python locks it, sends the measured curve and says what is shown in words.
// It follows the texts of canvas.js, svg_plot.js and curve_axes.js, which have what is not defined
// here.

const NEAR = 14; // CSS pixels: what is this near to a condition takes the pointer's height
const GHOST = 50; // %, where a condition waits that has no value yet
const STEPS = { ArrowUp: 5, ArrowDown: -5, PageUp: 25, PageDown: -25 }; // %
const TURNS = { ArrowLeft: 5, ArrowUp: 5, ArrowRight: -5, ArrowDown: -5, PageUp: 45, PageDown: -45 };
const SNAP = 5; // degrees of the dial
const GLIDE = 450; // ms
const still = matchMedia("(prefers-reduced-motion: reduce)");

const turned = (/** @type {number} */ angle, /** @type {number} */ whole) =>
  ((angle % whole) + whole) % whole;

/** The way from one angle to another, at most half a turn. */
const wayTo = (from, to, whole) => turned(to - from + whole / 2, whole) - whole / 2;

const ease = (/** @type {number} */ t) => 1 - (1 - t) ** 3;

class PredictionView extends SvgPlot {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    super(model, el, "orw-curves");
    this.root.classList.add("orw-predict");
    this.root.removeAttribute("tabindex"); // each condition takes the focus itself
    this.legend = makeElement("div", "orw-curves-legend");
    this.stage.before(this.legend);
    this.handles = [];
    this.shown = new Map(); // what is on the screen, on its way to what is true
    this.ink = [];
    const { signal } = this.removed;
    const on = (name, act) => this.drawing.addEventListener(name, act, { signal });
    on("pointerdown", (event) => this.begin(event));
    on("pointermove", (event) => this.go(event));
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) on(name, () => this.end());
    this.take();
  }

  get locked() { return this.model.get("locked"); }
  get dial() { return this.content.kind === "dial"; }
  get polar() { return this.content.kind !== "cartesian"; }
  get turns() { return this.polar && this.content.closed === 180 ? [0, 180] : [0]; }

  /** Take what Python has, unless a stroke is going on. */
  take() {
    if (this.stroke && !this.locked) return;
    this.stroke = null;
    this.drawn = [...this.model.get("drawn")];
    this.angle = this.model.get("angle");
    this.schedule();
  }

  save() {
    const { drawn, angle } = this; // each change is heard here as well
    this.model.set("drawn", [...drawn]);
    this.model.set("angle", angle);
    this.model.save_changes();
  }

  // ---- drawing by hand

  placeOf(/** @type {PointerEvent} */ event) {
    const bounds = this.drawing.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const { frame } = this;
    if (!this.polar) {
      const { box } = frame;
      const value = (100 * (box.bottom - py)) / (box.bottom - box.top);
      return { px, py, value: Math.min(100, Math.max(0, value)) };
    }
    const [dx, dy] = [px - frame.cx, frame.cy - py];
    const away = Math.hypot(dx, dy);
    const angle = turned((Math.atan2(dy, dx) * 180) / Math.PI, 360);
    return { px, py, angle, away, value: Math.min(100, (100 * away) / frame.radius) };
  }

  begin(/** @type {PointerEvent} */ event) {
    if (this.locked || !this.frame || event.button > 0) return;
    event.preventDefault(); // no text is selected, and the page does not scroll
    this.drawing.setPointerCapture(event.pointerId);
    const spot = this.placeOf(event);
    this.stroke = { id: event.pointerId, last: spot };
    this.ink = [[spot.px, spot.py]];
    if (this.dial) this.turnTo(spot.angle);
    else this.set(this.nearest(spot), spot.value);
    this.handles[this.dial ? 0 : this.nearest(spot)]?.focus({ preventScroll: true });
    this.repaint();
  }

  go(/** @type {PointerEvent} */ event) {
    if (!this.stroke) {
      if (this.frame && !this.dial) this.hover(this.nearest(this.placeOf(event)));
      return;
    }
    if (event.pointerId !== this.stroke.id) return;
    for (const one of event.getCoalescedEvents?.() ?? []) this.passOver(one);
    this.passOver(event);
    this.repaint();
  }

  passOver(/** @type {PointerEvent} */ event) {
    const [spot, { last }] = [this.placeOf(event), this.stroke];
    this.stroke.last = spot;
    this.ink.push([spot.px, spot.py]);
    if (this.dial) {
      if (spot.away > 8) this.turnTo(spot.angle);
      return;
    }
    this.content.x.values.forEach((_, i) => {
      const share = this.crossed(i, last, spot);
      if (share !== null) this.set(i, last.value + share * (spot.value - last.value));
    });
    const near = this.nearest(spot);
    if (this.distance(near, spot) < NEAR) this.set(near, spot.value);
  }

  /** How far along a piece of a stroke it passes over a condition; null if it does not. */
  crossed(/** @type {number} */ i, from, to) {
    const value = this.content.x.values[i];
    if (!this.polar) {
      const x = this.frame.right(value);
      const across = to.px - from.px;
      const share = across && (x - from.px) / across;
      return across && share >= 0 && share <= 1 ? share : null;
    }
    if (from.away < 6 || to.away < 6) return null; // at the centre a point has no angle
    const whole = 360 / this.turns.length;
    const across = wayTo(turned(from.angle, whole), turned(to.angle, whole), whole);
    const share = across && wayTo(turned(from.angle, whole), turned(value, whole), whole) / across;
    return across && share >= 0 && share <= 1 ? share : null;
  }

  /** How far a condition is from the pointer, along the axis of conditions (CSS pixels). */
  distance(/** @type {number} */ i, spot) {
    const value = this.content.x.values[i];
    if (!this.polar) return Math.abs(this.frame.right(value) - spot.px);
    const whole = 360 / this.turns.length;
    const way = Math.abs(wayTo(turned(value, whole), turned(spot.angle, whole), whole));
    return ((way * Math.PI) / 180) * Math.max(spot.away, this.frame.radius / 4);
  }

  nearest(spot) {
    const all = this.content.x.values.map((_, i) => i);
    return all.reduce((best, i) => (this.distance(i, spot) < this.distance(best, spot) ? i : best));
  }

  set(/** @type {number} */ i, /** @type {number} */ value) {
    this.drawn[i] = Math.round(Math.min(100, Math.max(0, value)));
  }

  turnTo(/** @type {number} */ angle) {
    const whole = 360 / this.turns.length;
    this.angle = turned(SNAP * Math.round(angle / SNAP), whole);
  }

  end() {
    if (!this.stroke) return;
    this.stroke = null;
    this.save();
    const trail = this.trail;
    this.ink = [];
    this.trail = null;
    if (trail && !still.matches) { // the ink fades where the values have snapped in
      trail.classList.add("orw-predict-fading");
      trail.addEventListener("transitionend", () => trail.remove(), { once: true });
    } else trail?.remove();
    this.repaint();
  }

  repaint() {
    this.shown.clear(); // what the hand draws is there at once
    this.schedule();
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    const i = this.handles.indexOf(event.target);
    if (i < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (this.dial) {
      if (!(key in TURNS)) return;
      event.preventDefault();
      if (this.locked) return;
      this.turnTo(this.angle === null ? 0 : this.angle + TURNS[key]);
      this.save();
      this.repaint();
      return;
    }
    const n = this.handles.length;
    const goals = { ArrowRight: (i + 1) % n, ArrowLeft: (i + n - 1) % n, Home: 0, End: n - 1 };
    if (key in goals) {
      this.handles[goals[key]].focus();
    } else if (key in STEPS) {
      if (!this.locked) {
        this.set(i, this.drawn[i] === null ? GHOST : this.drawn[i] + STEPS[key]);
        this.save();
        this.repaint();
      }
    } else return;
    event.preventDefault();
  }

  // ---- gliding

  /** Where something is on its way to `target`; null is nowhere, and there is no way from there. */
  glide(/** @type {string} */ key, target, from = null) {
    if (target === null || target === undefined) {
      this.shown.delete(key);
      return null;
    }
    let way = this.shown.get(key);
    if (!way) {
      way = { from: from ?? target, to: target, start: this.moment };
      this.shown.set(key, way);
    } else if (way.to !== target) {
      Object.assign(way, { from: this.along(way), to: target, start: this.moment });
    }
    if (still.matches) way.start = -Infinity;
    if (this.moment - way.start < GLIDE && way.from !== way.to) this.moving = true;
    return this.along(way);
  }

  along({ from, to, start }) {
    const t = Math.min(1, (this.moment - start) / GLIDE);
    return from + (to - from) * ease(t);
  }

  // ---- painting

  paint() {
    const { model, content, dial, polar } = this;
    const width = this.stage.clientWidth;
    const height = model.get("height");
    this.stage.style.height = `${height}px`;
    const missing = this.drawn.filter((value) => value === null).length;
    const empty = dial ? this.angle === null : missing === this.drawn.length;
    this.describeAll(empty, missing);
    this.drawLegend();
    this.root.classList.toggle("orw-predict-locked", this.locked);
    this.root.dataset.kind = content.kind;
    if (width < 60) return; // not laid out yet: the observer calls again
    this.moment = performance.now();
    this.moving = false;
    const plain = { ...content, kind: polar ? "polar" : "cartesian" };
    const frame = polar ? round(plain, width, height) : straight(plain, width, height);
    this.frame = frame;
    const axes = polar ? roundAxes(plain, frame) : straightAxes(plain, frame, width, height);
    const labels = polar ? ringLabels(plain, frame) : [];
    if (polar) {
      labels.push(text(content.y.label, {
        class: "orw-curves-label", x: 4, y: 14, "text-anchor": "start",
      }));
    }
    const [mine, measured] = content.curves;
    const predicted = this.drawn.map((value, i) => this.glide(`p${i}`, value));
    const found = measured.values.map((value, i) =>
      this.glide(`m${i}`, value, dial ? null : this.drawn[i]));
    const nodes = [...axes];
    this.guide = draw("g");
    nodes.push(this.guide);
    if (!dial && content.finished) nodes.push(...this.differences(frame, predicted, found));
    nodes.push(...curveNodes(plain, frame, { ...measured, values: found }));
    if (!dial) nodes.push(...this.ownCurve(plain, frame, { ...mine, values: predicted }));
    nodes.push(...this.arrows(frame, mine.colour, measured.colour));
    nodes.push(...labels);
    this.lay(width, height, nodes);
    this.drawInk(mine.colour);
    this.placeHandles(frame, predicted);
    this.mark();
    this.root.dataset.version = String(content.version);
    this.root.dataset.moving = String(this.moving);
    if (this.moving) this.schedule();
  }

  /** Put nodes beneath the ink and the handles, which stay: they fade, or have the focus. */
  lay(width, height, nodes) {
    const size = { width, height, viewBox: `0 0 ${width} ${height}` };
    for (const [name, value] of Object.entries(size)) this.drawing.setAttribute(name, String(value));
    if (!this.layers) {
      this.layers = [draw("g"), draw("g"), draw("g")];
      this.drawing.replaceChildren(...this.layers);
    }
    this.layers[0].replaceChildren(...nodes);
  }

  /** The stroke that is going on, as the hand made it. */
  drawInk(/** @type {string} */ colour) {
    if (this.ink.length < 2) return;
    if (!this.trail) {
      this.trail = draw("path", { class: "orw-predict-ink", stroke: colour });
      this.layers[1].append(this.trail);
    }
    this.trail.setAttribute("d", pathThrough(this.ink));
  }

  ownCurve(content, frame, curve) {
    const nodes = curveNodes({ ...content, marks: false }, frame, curve);
    const missing = { ...curve, values: curve.values.map((value) => (value === null ? GHOST : null)) };
    return nodes.concat(missing.values.flatMap((value, i) => (value === null ? [] :
      this.turns.map((turn) => {
        const [x, y] = frame.place(content.x.values[i] + turn, value);
        return draw("circle", { class: "orw-predict-ghost", cx: at(x), cy: at(y), r: 6 });
      }))));
  }

  /** From each predicted value to the measured one. */
  differences(frame, predicted, found) {
    const values = this.content.x.values;
    return this.turns.flatMap((turn) => values.flatMap((value, i) => {
      if (predicted[i] === null || found[i] === null) return [];
      const grown = this.glide(`d${i} ${turn}`, 1, 0);
      const end = predicted[i] + grown * (found[i] - predicted[i]);
      const d = pathThrough([frame.place(value + turn, predicted[i]), frame.place(value + turn, end)]);
      return [draw("path", { class: "orw-predict-difference", d })];
    }));
  }

  /** Preferred angles: that of the dial, the measured one, and what is between them. */
  arrows(frame, mine, theirs) {
    if (!this.polar) return [];
    const nodes = [];
    const { preferred } = this.content;
    const whole = 360 / this.turns.length;
    if (this.dial && this.angle !== null && preferred !== null) {
      const way = wayTo(this.angle, preferred, whole) * (this.glide("arc", 1, 0) ?? 1);
      const radius = 0.5 * frame.radius;
      for (const turn of this.turns) {
        const n = Math.max(2, Math.ceil(Math.abs(way) / 3));
        const points = Array.from({ length: n + 1 }, (_, k) => {
          const angle = ((this.angle + turn + (way * k) / n) * Math.PI) / 180;
          return [frame.cx + radius * Math.cos(angle), frame.cy - radius * Math.sin(angle)];
        });
        nodes.push(draw("path", { class: "orw-predict-difference", d: pathThrough(points) }));
      }
    }
    if (preferred !== null) nodes.push(...this.arrow(frame, preferred, theirs, "measured"));
    if (this.dial) {
      const angle = this.angle ?? whole / 4;
      nodes.push(...this.arrow(frame, angle, mine, this.angle === null ? "ghost" : "own"));
    }
    return nodes;
  }

  arrow({ cx, cy, radius }, degrees, colour, kind) {
    return this.turns.flatMap((turn) => {
      const transform = `translate(${cx},${cy}) rotate(${at(-(degrees + turn))})`;
      return [
        draw("path", {
          class: `orw-predict-arrow orw-predict-${kind}`, d: `M0,0H${at(radius - 12)}`, transform,
          stroke: colour,
        }),
        draw("path", {
          class: `orw-curves-preferred orw-predict-${kind}`, style: `--colour: ${colour}`,
          d: `M${at(radius)},0l-20,-9v18z`, transform,
        }),
      ];
    });
  }

  /** One element for each condition, or for the dial: what takes the focus and the keys. */
  placeHandles(frame, predicted) {
    const { content, dial } = this;
    const { x } = content;
    const key = dial ? "dial" : `curve ${x.values.length}`;
    if (this.handleKey !== key) {
      this.handleKey = key;
      const n = dial ? 1 : x.values.length;
      this.handles = Array.from({ length: n }, (_, i) => this.newHandle(i));
      this.layers[2].replaceChildren(...this.handles);
    }
    const unit = x.unit && (x.unit === "°" ? "°" : ` ${x.unit}`);
    this.handles.forEach((handle, i) => {
      const value = dial ? this.angle : this.drawn[i];
      const [px, py] = dial
        ? this.tip(frame, this.angle ?? 360 / this.turns.length / 4)
        : frame.place(x.values[i], predicted[i] ?? GHOST);
      const words = dial
        ? (value === null ? "not placed yet" : `${value} degrees`)
        : (value === null ? "not drawn yet" : `${Math.round(value)} % of the largest response`);
      const named = dial ? `preferred ${x.name}` : `${x.name} ${tickWords(x.values[i])}${unit}`;
      handle.setAttribute("transform", `translate(${at(px)},${at(py)})`);
      handle.classList.toggle("orw-predict-missing", value === null);
      const told = {
        "aria-label": named, "aria-valuetext": words, "aria-valuemin": 0,
        "aria-valuemax": dial ? 360 / this.turns.length : 100, "aria-valuenow": Math.round(value ?? 0),
        "aria-disabled": this.locked, "data-index": i,
      };
      for (const [name, said] of Object.entries(told)) handle.setAttribute(name, String(said));
    });
  }

  tip({ cx, cy, radius }, /** @type {number} */ degrees) {
    const angle = (degrees * Math.PI) / 180;
    return [cx + (radius - 10) * Math.cos(angle), cy - (radius - 10) * Math.sin(angle)];
  }

  newHandle(/** @type {number} */ i) {
    const handle = draw("g", { class: "orw-predict-handle", tabindex: 0, role: "slider" },
      draw("circle", { class: "orw-predict-focus", r: 15 }),
      draw("circle", { class: "orw-predict-dot", r: this.dial ? 8 : 7,
        style: `--colour: ${this.content.curves[0].colour}` }));
    handle.addEventListener("focus", () => this.hover(this.dial ? null : i));
    return handle;
  }

  // ---- words

  describeAll(/** @type {boolean} */ empty, /** @type {number} */ missing) {
    const { content, dial, model } = this;
    say(this.title, model.get("title"));
    this.title.hidden = !model.get("title");
    say(this.note, content.note);
    say(this.message, empty && !this.locked ? model.get("placeholder") : "");
    const n = this.drawn.length;
    const mine = dial
      ? (empty ? "no direction placed yet" : `predicted preferred ${content.x.name} ${this.angle} degrees`)
      : `predicted response against ${content.x.label}, ${n - missing} of ${n} conditions drawn`;
    const keys = dial ? "Arrow keys turn the arrow." :
      "Left and right choose a condition, up and down change its value.";
    const state = this.locked ? "Committed." : keys;
    const label = `Prediction: ${mine}. ${content.words} ${state}`.replace(/\s+/g, " ");
    for (const node of [this.root, this.drawing]) node.setAttribute("aria-label", label);
    this.drawing.setAttribute("role", "group");
  }

  drawLegend() {
    const { curves } = this.content;
    const key = JSON.stringify(curves.map(({ name }) => name));
    if (key === this.legendKey) return;
    this.legendKey = key;
    this.legend.replaceChildren(...curves.map((curve) => {
      const swatch = draw("svg", { width: 34, height: 16, "aria-hidden": "true" });
      swatch.append(
        draw("path", { class: "orw-curves-line", d: "M1,8H33", ...paint(curve) }),
        draw("path", {
          class: "orw-curves-mark", d: MARKERS[curve.marker], transform: "translate(17,8)",
          style: `--colour: ${curve.colour}`,
        }),
      );
      const name = makeElement("span", "", { textContent: curve.name });
      return makeElement("span", "orw-curves-key", {}, swatch, name);
    }));
  }

  mark() {
    const { content, frame, hovered, dial } = this;
    const i = dial ? null : hovered;
    if (i === null || !(i in content.x.values)) {
      this.guide?.replaceChildren();
      say(this.readout, dial && this.angle !== null ? `${this.angle}°` : "");
      return;
    }
    const value = content.x.values[i];
    const [from, to] = this.polar
      ? [[frame.cx, frame.cy], frame.place(value, 100)]
      : [[frame.right(value), frame.box.bottom], [frame.right(value), frame.box.top]];
    this.guide?.replaceChildren(draw("path", { class: "orw-curves-hovered", d: pathThrough([from, to]) }));
    const unit = content.x.unit && (content.x.unit === "°" ? "°" : ` ${content.x.unit}`);
    const mine = this.drawn[i];
    const found = content.curves[1].values[i];
    const parts = [`your prediction: ${mine === null ? "not drawn yet" : `${Math.round(mine)} %`}`];
    if (found !== null) parts.push(`measured: ${Math.round(found)} %`);
    say(this.readout, `${content.x.name} ${tickWords(value)}${unit} — ${parts.join("; ")}`);
  }

  choose() {}
  under() { return this.hovered; }
}

export default {
  render({ model, el, signal }) {
    const view = new PredictionView(model, el);
    const ask = () => view.schedule();
    const take = () => view.take();
    const changes = { _content: ask, title: ask, height: ask, placeholder: ask, drawn: take,
      angle: take, locked: take };
    const stop = listen(model, Object.fromEntries(
      Object.entries(changes).map(([name, act]) => [`change:${name}`, act])));
    const remove = () => [stop(), view.remove()];
    signal?.addEventListener("abort", remove, { once: true });
    return remove;
  },
};
