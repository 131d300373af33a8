// A map of the retina: an image, ellipses over it, axes. Python decides colours and sizes; this
// module paints, and tells which ellipse is chosen. It follows the text of canvas.js.

/**
 * @typedef {{neuron: number, x: number, y: number, radius_x: number, radius_y: number,
 *   angle_deg: number, polarity: string, label: string, dashed: boolean}} Outline
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function}} Model
 */

const MARGIN = { top: 8, right: 12, bottom: 44, left: 66 };
const BAR = { gap: 16, width: 16, labels: 66 };
const POLARITY = { ON: "#d1495b", OFF: "#3a7bd5" }; // readable on white and on black
const NEAR = 10; // CSS pixels from a centre that count as on it
const TRAITS = ["title", "unit", "placeholder", "pixel_size_um", "selectable", "colour_bar",
  "width", "height", "_content"];

const make = (/** @type {string} */ tag, name = "", properties = {}, ...children) =>
  makeElement(tag, name && `orw-map-${name}`, properties, ...children);

/** Round numbers within an interval, about four. */
function ticksOf(/** @type {number} */ low, /** @type {number} */ high) {
  const step = roundDown((high - low) / 3);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

class RetinaMap {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.hovered = -1;
    this.animation = 0;
    this.removed = new AbortController();
    this.table = tableOf(model.get("_colours"));
    this.picture = document.createElement("canvas");
    this.title = make("div", "title");
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.message = make("div", "message");
    this.note = make("div", "note");
    this.note.setAttribute("aria-live", "polite");
    this.frame = make("div", "frame", {}, this.canvas, this.message);
    this.root = make("div", "", { className: "orw-map orw-retina" }, this.title, this.frame, this.note);
    el.append(this.root);
    this.listen();
    this.build();
  }

  get content() { return this.model.get("_content"); }

  listen() {
    const { signal } = this.removed;
    const on = (node, name, act) => node.addEventListener(name, act, { signal });
    on(this.canvas, "pointermove", (event) => this.hover(this.at(event.offsetX, event.offsetY)));
    on(this.canvas, "pointerleave", () => this.hover(-1));
    on(this.canvas, "click", (event) => {
      const i = this.at(event.offsetX, event.offsetY);
      if (i >= 0) this.choose(i, event.shiftKey || event.ctrlKey || event.metaKey);
    });
    on(this.frame, "keydown", (event) => this.onKey(event));
    this.leaveTheme = watchTheme(() => this.schedule());
    // Colours and font are known once the map is on the page.
    this.observer = new ResizeObserver(() => this.schedule());
    this.observer.observe(this.root);
  }

  /** Everything is new. */
  build() {
    const { model, content } = this;
    const { shape: [rows, columns] } = content;
    const selectable = model.get("selectable");
    if (selectable) this.frame.tabIndex = 0;
    else this.frame.removeAttribute("tabindex");
    this.frame.dataset.lmSuppressShortcuts = String(selectable);
    say(this.title, model.get("title"));
    this.title.hidden = !model.get("title");
    say(this.message, content.empty ? model.get("placeholder") : "");
    const bar = model.get("colour_bar") ? BAR.gap + BAR.width + BAR.labels : 0;
    const room = {
      x: model.get("width") - MARGIN.left - MARGIN.right - bar,
      y: model.get("height") - MARGIN.top - MARGIN.bottom,
    };
    const fits = Math.max(1e-3, Math.min(room.x / columns, room.y / rows));
    this.scale = fits < 1 ? fits : Math.floor(fits); // CSS pixels of a pixel of the image
    this.plot = { width: this.scale * columns, height: this.scale * rows };
    this.width = MARGIN.left + this.plot.width + MARGIN.right + bar;
    this.height = MARGIN.top + this.plot.height + MARGIN.bottom;
    this.message.style.width = `${this.plot.width}px`;
    this.ratio = window.devicePixelRatio || 1;
    const { canvas, picture } = this;
    Object.assign(canvas, { width: this.width * this.ratio, height: this.height * this.ratio });
    Object.assign(canvas.style, { width: `${this.width}px`, height: `${this.height}px` });
    Object.assign(picture, { width: columns, height: rows });
    const { buffer, byteOffset, byteLength } = content.frames;
    const data = new Uint8Array(buffer, byteOffset, byteLength);
    if (data.length) fill(picture, (x, y) => this.table[data[y * columns + x]]);
    this.hasImage = data.length > 0;
    this.hovered = -1;
    this.tell();
    this.paint();
  }

  /** Micrometres or pixels of the retina in one pixel of the image. */
  get size() { return this.model.get("pixel_size_um") ?? 1; }
  get spaceUnit() { return this.model.get("pixel_size_um") ? "µm" : "px"; }

  toCanvas(/** @type {number} */ x, /** @type {number} */ y) {
    const perUnit = this.scale / this.size;
    return [MARGIN.left + this.plot.width / 2 + x * perUnit,
      MARGIN.top + this.plot.height / 2 - y * perUnit];
  }

  // ---- choosing

  /** Number of the outline at a place, the one whose middle is nearest; or -1. */
  at(/** @type {number} */ left, /** @type {number} */ top) {
    if (!this.model.get("selectable")) return -1;
    const perUnit = this.scale / this.size;
    let [best, nearest] = [-1, Infinity];
    this.content.outlines.forEach((outline, i) => {
      const [x, y] = this.toCanvas(outline.x, outline.y);
      const [dx, dy] = [left - x, y - top];
      const angle = (outline.angle_deg * Math.PI) / 180;
      const along = (dx * Math.cos(angle) + dy * Math.sin(angle)) / (outline.radius_x * perUnit);
      const across = (dy * Math.cos(angle) - dx * Math.sin(angle)) / (outline.radius_y * perUnit);
      const distance = Math.hypot(dx, dy);
      const inside = Math.hypot(along, across) <= 1 || distance <= NEAR;
      if (inside && distance < nearest) [best, nearest] = [i, distance];
    });
    return best;
  }

  hover(/** @type {number} */ i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.canvas.style.cursor = i < 0 ? "" : "pointer";
    this.tell();
    this.schedule();
  }

  choose(/** @type {number} */ i, add = false) {
    const { neuron } = this.content.outlines[i];
    const chosen = this.model.get("selected");
    let next = [neuron];
    if (add) {
      const rest = chosen.filter((other) => other !== neuron);
      next = rest.length < chosen.length ? rest : [...chosen, neuron];
      if (!next.length) return; // one stays
    }
    this.model.set("selected", next);
    this.model.save_changes();
    this.tell();
    this.schedule();
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    const { outlines } = this.content;
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step || !outlines.length || !this.model.get("selectable")) return;
    const [leading] = this.model.get("selected");
    const now = outlines.findIndex(({ neuron }) => neuron === leading);
    const next = now < 0 ? 0 : Math.min(outlines.length - 1, Math.max(0, now + step));
    this.choose(next);
    event.preventDefault();
    event.stopPropagation();
  }

  tell() {
    const { model, content } = this;
    const { outlines } = content;
    const chosen = outlines.filter(({ neuron }) => model.get("selected").includes(neuron));
    const hovered = outlines[this.hovered];
    const names = [...new Set(chosen.map(({ label }) => label))].slice(0, 4).join(", ");
    const choice = model.get("selectable") && names ? `Chosen: ${names}` : "";
    say(this.note, hovered ? hovered.label : content.note || choice);
    const image = this.hasImage
      ? `image, ${numeral(-content.limit)} to ${numeral(content.limit)} ${model.get("unit")}, `
      : "";
    const labels = model.get("selectable") ? choice : outlines.map(({ label }) => label).join("; ");
    const words = content.empty ? model.get("placeholder")
      : `${image}${counted(outlines.length, "outline")}${labels && `: ${labels}`}`;
    this.canvas.setAttribute("aria-label", `${model.get("title") || "Map"}: ${words}`);
    this.frame.setAttribute("aria-label", `${model.get("title") || "Map"}: ${words}`);
    if (model.get("selectable")) this.frame.setAttribute("role", "group");
  }

  // ---- painting

  schedule() {
    if (this.animation || this.removed.signal.aborted) return;
    this.animation = requestAnimationFrame(() => {
      this.animation = 0;
      this.paint();
    });
  }

  paint() {
    const style = getComputedStyle(this.root);
    this.text = style.color;
    this.line = style.getPropertyValue("--orw-line").trim();
    const context = this.canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.font = `12px ${style.fontFamily}`;
    context.fillStyle = this.text;
    this.paintImage(context);
    this.paintAxes(context);
    if (this.model.get("colour_bar") && this.hasImage) this.paintBar(context);
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, MARGIN.top, this.plot.width, this.plot.height);
    context.clip();
    const { outlines } = this.content;
    const chosen = new Set(this.model.get("selected"));
    outlines.forEach((outline) => {
      if (!chosen.has(outline.neuron)) this.paintOutline(context, outline, false);
    });
    outlines.forEach((outline) => {
      if (chosen.has(outline.neuron)) this.paintOutline(context, outline, true);
    });
    if (outlines[this.hovered]) this.paintOutline(context, outlines[this.hovered], true);
    context.restore();
    if (!this.content.empty) this.paintScaleBar(context);
  }

  paintImage(context) {
    if (!this.hasImage) return;
    const { width, height } = this.plot;
    context.fillStyle = hatchOf(context); // undefined pixels are transparent
    context.fillRect(MARGIN.left, MARGIN.top, width, height);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture, MARGIN.left, MARGIN.top, width, height);
  }

  paintAxes(context) {
    const { width, height } = this.plot;
    const { left, top } = MARGIN;
    const [rows, columns] = this.content.shape;
    const [spanX, spanY] = [(columns * this.size) / 2, (rows * this.size) / 2];
    context.strokeStyle = this.line;
    context.fillStyle = this.text;
    context.lineWidth = 1;
    context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
    context.textBaseline = "top";
    context.textAlign = "center";
    context.beginPath();
    const across = ticksOf(-spanX, spanX);
    const step = across[1] - across[0];
    const wide = Math.max(...across.map((tick) => context.measureText(numeral(tick)).width)) + 8;
    const every = Math.ceil(wide / (this.toCanvas(step, 0)[0] - this.toCanvas(0, 0)[0]));
    for (const tick of across) {
      const [x] = this.toCanvas(tick, 0);
      context.moveTo(x, top + height);
      context.lineTo(x, top + height + 5);
      // Where the map is small only some have their number, counted from the middle.
      if (Math.round(tick / step) % every === 0) {
        context.fillText(numeral(tick), x, top + height + 8);
      }
    }
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of ticksOf(-spanY, spanY)) {
      const [, y] = this.toCanvas(0, tick);
      context.moveTo(left, y);
      context.lineTo(left - 5, y);
      context.fillText(numeral(tick), left - 8, y);
    }
    context.stroke();
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.fillText(`x (${this.spaceUnit})`, left + width / 2, top + height + 38);
    context.save();
    context.translate(14, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.fillText(`y (${this.spaceUnit})`, 0, 0);
    context.restore();
  }

  paintBar(context) {
    const { height, width } = this.plot;
    const x = MARGIN.left + width + BAR.gap;
    const strip = makeElement("canvas", "", { width: 1, height: 255 });
    fill(strip, (_, y) => this.table[255 - y]);
    context.drawImage(strip, x, MARGIN.top, BAR.width, height);
    context.strokeRect(x - 0.5, MARGIN.top - 0.5, BAR.width + 1, height + 1);
    context.fillStyle = this.text;
    context.textAlign = "left";
    const { limit } = this.content;
    for (const [value, part, baseline] of [[limit, 0, "top"], [0, 0.5, "middle"],
      [-limit, 1, "bottom"]]) {
      context.textBaseline = baseline;
      context.fillText(numeral(value), x + BAR.width + 6, MARGIN.top + part * height);
    }
    context.textBaseline = "alphabetic";
    context.fillText(this.model.get("unit"), x, MARGIN.top + height + 38); // clear of the ticks
    strip.width = 0;
  }

  paintOutline(context, /** @type {Outline} */ outline, /** @type {boolean} */ strong) {
    const [x, y] = this.toCanvas(outline.x, outline.y);
    const perUnit = this.scale / this.size;
    const colour = POLARITY[outline.polarity] ?? (this.hasImage ? "#111" : this.text);
    context.beginPath();
    context.ellipse(x, y, outline.radius_x * perUnit, outline.radius_y * perUnit,
      (-outline.angle_deg * Math.PI) / 180, 0, 2 * Math.PI);
    if (strong) {
      context.globalAlpha = 0.25;
      context.fillStyle = colour;
      context.fill();
    }
    context.globalAlpha = strong || this.hasImage || !this.content.outlines.length ? 1 : 0.7;
    context.setLineDash(outline.dashed ? [6, 4] : []);
    if (this.hasImage) { // seen on white and on the darkest colours
      context.lineWidth = 4;
      context.strokeStyle = "rgba(255, 255, 255, 0.7)";
      context.stroke();
    }
    context.lineWidth = strong ? 3 : this.hasImage ? 2 : 1.2;
    context.strokeStyle = colour;
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  paintScaleBar(context) {
    const [, columns] = this.content.shape;
    const known = this.model.get("pixel_size_um");
    if (!known) return;
    const length = roundDown(0.3 * columns * known);
    const long = (length / known) * this.scale;
    const right = MARGIN.left + this.plot.width - 8;
    const y = MARGIN.top + this.plot.height - 9;
    if (this.hasImage) { // else an ellipse goes through it
      context.fillStyle = "rgba(255, 255, 255, 0.8)";
      context.fillRect(right - long - 6, y - 19, long + 12, 26);
    }
    context.fillStyle = this.hasImage ? "#111" : this.text;
    context.fillRect(right - long, y, long, 3);
    context.textAlign = "center";
    context.textBaseline = "bottom";
    context.fillText(`${numeral(length)} µm`, right - long / 2, y - 2);
  }

  remove() {
    if (this.removed.signal.aborted) return;
    this.removed.abort();
    cancelAnimationFrame(this.animation);
    this.observer.disconnect();
    this.leaveTheme();
    for (const canvas of [this.canvas, this.picture]) canvas.width = canvas.height = 0;
    this.root.remove();
  }
}

export default {
  render({ model, el, signal }) {
    const view = new RetinaMap(model, el);
    const again = () => view.build();
    const stop = listen(model, {
      ...Object.fromEntries(TRAITS.map((name) => [`change:${name}`, again])),
      "change:selected": () => [view.tell(), view.schedule()],
    });
    const remove = () => [stop(), view.remove()];
    signal?.addEventListener("abort", remove, { once: true });
    return remove;
  },
};
