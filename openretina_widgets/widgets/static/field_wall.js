// A wall of small images. Python decides limits and colours; this module paints what is in view,
// scrolls, and tells which neurons are chosen. It follows the texts of canvas.js and live_canvas.js,
// which have what is not defined here.

/**
 * What is shown, as FieldWall._encoded makes it; `data` holds the indices of `frames`.
 * @typedef {{version: number, shape: [number, number, number, number], neurons: number[],
 *   labels: string[], notes: string[], panels: {name: string, colour: string}[], limits: number[],
 *   data: Uint8Array}} Content
 * @typedef {{content: Content, own?: Content, frame: number, asked: number,
 *   views: Set<Wall>}} Shared
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function, send: Function}} Model
 */

const GAP = 12; // CSS pixels between two tiles
const PANEL_GAP = 3; // between the panels of one
const LABEL = 20; // height of a label
const LABEL_FONT = 12;
const LEAST_WIDTH = 84; // of a tile: room for a label
const TRAITS = ["unit", "title", "placeholder", "pixel_size_um", "height", "tile", "scale"];
const KEYS_HELP = "Click chooses, shift or ctrl adds, arrow keys move.";

const make = (/** @type {string} */ tag, name = "", properties = {}, ...children) =>
  makeElement(tag, name && `orw-wall-${name}`, properties, ...children);

/** @param {any} content @param {DataView} [buffer] @returns {Content} */
function contentOf(content, buffer = content.frames) {
  const { buffer: memory, byteOffset, byteLength } = buffer ?? new DataView(new ArrayBuffer(0));
  return { ...content, data: new Uint8Array(memory, byteOffset, byteLength) };
}

/** Sizes in CSS pixels, for a wall of a width. */
function gridOf(/** @type {Content} */ { shape }, /** @type {number} */ tile, width) {
  const [n, panels, rows, columns] = shape;
  const gaps = (panels - 1) * PANEL_GAP;
  const fits = (tile - gaps) / (panels * columns);
  const scale = fits < 1 ? fits : Math.round(fits);
  const picture = { width: scale * columns, height: scale * rows };
  const inner = panels * picture.width + gaps;
  const narrowest = Math.max(inner, LEAST_WIDTH) + GAP;
  const across = Math.max(1, Math.floor((width - GAP) / narrowest));
  const pitchX = Math.max(narrowest, Math.floor((width - GAP) / across));
  const pitchY = picture.height + LABEL + GAP;
  const down = Math.ceil(n / across);
  return { scale, picture, inner, pitchX, pitchY, across, down, total: down * pitchY + GAP };
}

class Wall extends LiveView {
  /** @param {Model} model @param {HTMLElement} el @param {Shared} shared */
  constructor(model, el, shared) {
    super(model, shared);
    this.animation = 0;
    this.hovered = this.cursor = -1; // positions on the wall
    this.removed = new AbortController();
    this.atlas = document.createElement("canvas");
    this.table = tableOf(model.get("_colours"));
    this.makeElements();
    el.append(this.root);
    this.listen();
    this.build();
    this.announce(shared.content.version);
  }

  /** @returns {Content} */
  get content() { return this.shared.content; }
  get empty() { return this.content.neurons.length === 0; }

  makeElements() {
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.sizer = make("div", "sizer", {}, this.canvas);
    this.message = make("div", "message");
    this.scroller = make("div", "scroller", { tabIndex: 0 }, this.sizer);
    this.scroller.setAttribute("role", "group");
    this.scroller.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves our keys to us
    this.title = make("span", "title");
    this.count = make("span", "count");
    this.legend = make("span", "panels");
    this.line = make("span", "scale-line");
    this.length = make("span", "scale-length");
    this.scaleBar = make("span", "scale-bar", {}, this.line, this.length);
    const bar = makeCanvas(255, 1, 110, 12, "colour bar");
    fill(bar, (x) => this.table[x + 1]);
    this.ends = [make("span"), make("span"), make("span")];
    const labels = make("span", "bar-labels", {}, ...this.ends);
    this.bar = make("span", "bar", {}, bar, labels);
    const options = [["each", "its own"], ["common", "a common one"]];
    this.choice = make("select", "scale", {},
      ...options.map(([value, text]) => make("option", "", { value, textContent: text })));
    const label = make("label", "", { title: "Which value has the full colour" }, "Scale ",
      this.choice);
    const tools = make("span", "tools", {}, this.scaleBar, this.bar, label);
    const words = make("span", "words", {}, this.title, this.count, this.legend);
    this.foot = make("div", "foot");
    this.foot.setAttribute("aria-live", "polite");
    this.root = make("div", "", { className: "orw-wall" }, make("div", "head", {}, words, tools),
      make("div", "frame", {}, this.scroller, this.message), this.foot);
  }

  listen() {
    const { signal } = this.removed;
    const on = (node, name, act) => node.addEventListener(name, act, { signal });
    on(this.scroller, "scroll", () => this.schedule());
    on(this.scroller, "keydown", (event) => this.onKey(event));
    for (const name of ["focus", "blur"]) on(this.scroller, name, () => this.schedule());
    on(this.canvas, "pointermove", (event) => this.hover(this.at(event)));
    on(this.canvas, "pointerleave", () => this.hover(-1));
    on(this.canvas, "click", (event) => {
      const i = this.at(event);
      if (i >= 0) this.choose(i, event.shiftKey || event.ctrlKey || event.metaKey);
    });
    on(this.choice, "change", () => {
      this.model.set("scale", this.choice.value);
      this.model.save_changes();
    });
    this.leaveTheme = watchTheme(() => {
      this.colours = undefined;
      this.schedule();
    });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.scroller);
  }

  /** Words, legend and sizes: made anew when something besides the pixels changes. */
  build() {
    const { model, content } = this;
    this.scroller.style.height = `${model.get("height")}px`;
    this.choice.value = model.get("scale");
    say(this.title, model.get("title"));
    this.title.title = model.get("title"); // where it is cut
    say(this.message, this.empty ? model.get("placeholder") : "");
    this.root.classList.toggle("orw-wall-empty", this.empty);
    this.legend.replaceChildren(...content.panels.map(({ name, colour }) => {
      const chip = make("span", "chip");
      chip.style.background = colour;
      return make("span", "panel", {}, chip, name);
    }));
    this.legend.title = content.panels.length > 1 ? "In each image, from left to right" : "";
    this.hovered = Math.min(this.hovered, content.neurons.length - 1);
    this.shortened = new Map();
    this.resize();
    this.refresh();
    this.follow();
  }

  /** The pixels or limits are new. */
  refresh() {
    const { model, content } = this;
    const unit = model.get("unit");
    const common = model.get("scale") === "common";
    const limit = content.limits.find((known) => known > 0) ?? 1;
    const ends = common ? [numeral(-limit), "0", numeral(limit)] : ["−max", "0", "+max"];
    ends.forEach((text, i) => say(this.ends[i], text));
    this.bar.title = common
      ? `The same scale for all, in ${unit || "their unit"}`
      : "max: the largest magnitude of each neuron, said below when the pointer is on it";
    this.atlasKey = "";
    this.tell();
    this.schedule();
  }

  resize() {
    const { scroller, canvas, model } = this;
    const [width, height] = [scroller.clientWidth, scroller.clientHeight];
    if (!width) return; // not on the page yet
    this.ratio = window.devicePixelRatio || 1;
    Object.assign(canvas, { width: width * this.ratio, height: height * this.ratio });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    this.size = { width, height };
    this.grid = this.empty ? undefined : gridOf(this.content, model.get("tile"), width);
    this.sizer.style.height = `${Math.max(height, this.grid?.total ?? 0)}px`;
    this.showScaleBar();
    this.atlasKey = "";
    this.shortened = new Map();
    this.paint(); // at once: a canvas that was resized is empty
  }

  showScaleBar() {
    const size = this.model.get("pixel_size_um");
    this.scaleBar.hidden = !this.grid;
    if (!this.grid) return;
    const pixels = this.content.shape[3];
    const length = Math.max(roundDown(0.6 * pixels * (size ?? 1)), size ? 0 : 1);
    this.line.style.width = `${(length / (size ?? 1)) * this.grid.scale}px`;
    say(this.length, size ? `${numeral(length)} µm` : counted(length, "pixel"));
  }

  // ---- choosing

  /** Position under the pointer, or -1. */
  at(/** @type {PointerEvent | MouseEvent} */ event) {
    const { grid } = this;
    if (!grid) return -1;
    const x = event.offsetX - GAP;
    const y = event.offsetY + this.scroller.scrollTop - GAP;
    const [column, row] = [Math.floor(x / grid.pitchX), Math.floor(y / grid.pitchY)];
    const outside = x < 0 || y < 0 || column >= grid.across || x % grid.pitchX > grid.pitchX - GAP;
    const i = row * grid.across + column;
    return outside || i >= this.content.neurons.length ? -1 : i;
  }

  hover(/** @type {number} */ i) {
    if (i === this.hovered) return;
    this.hovered = i;
    this.canvas.style.cursor = i < 0 ? "" : "pointer";
    this.tell();
    this.schedule();
  }

  choose(/** @type {number} */ i, add = false) {
    const neuron = this.content.neurons[i];
    const chosen = this.model.get("selected");
    let next = [neuron];
    if (add) {
      const rest = chosen.filter((other) => other !== neuron);
      next = rest.length < chosen.length ? rest : [...chosen, neuron];
      if (!next.length) return; // one stays
    }
    this.cursor = i;
    this.model.set("selected", next);
    this.model.save_changes();
    this.follow();
  }

  /** The choice is new, from here or from elsewhere: bring the leading neuron into view. */
  follow() {
    const [leading] = this.model.get("selected");
    const i = this.content.neurons.indexOf(leading);
    if (i >= 0 && !this.model.get("selected").includes(this.content.neurons[this.cursor])) {
      this.cursor = i;
    }
    if (this.cursor >= 0 && this.leading !== `${leading} ${this.cursor}`) this.reveal(this.cursor);
    this.leading = `${leading} ${this.cursor}`;
    this.tell();
    this.schedule();
  }

  reveal(/** @type {number} */ i) {
    if (!this.grid) return;
    const { pitchY, across } = this.grid;
    const top = Math.floor(i / across) * pitchY;
    const { scroller } = this;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    const bottom = top + pitchY + GAP - scroller.clientHeight;
    if (bottom > scroller.scrollTop) scroller.scrollTop = bottom;
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    if (this.empty || !this.grid || event.altKey) return;
    const { across, pitchY } = this.grid;
    const last = this.content.neurons.length - 1;
    const page = across * Math.max(1, Math.floor(this.scroller.clientHeight / pitchY));
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across,
      PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      const next = Math.min(last, Math.max(0, Math.max(0, this.cursor) + moves[event.key]));
      if (!event.shiftKey) this.choose(next);
      else if (next !== this.cursor) this.extend(next);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Add a neuron, and never take one away. */
  extend(/** @type {number} */ i) {
    if (!this.model.get("selected").includes(this.content.neurons[i])) this.choose(i, true);
    else {
      this.cursor = i;
      this.follow();
    }
  }

  // ---- words

  describe(/** @type {number} */ i) {
    const { labels, notes, limits } = this.content;
    const unit = this.model.get("unit");
    const note = notes[i] ? ` · ${notes[i]}` : "";
    const scale = limits[i] ? ` · scale ±${numeral(limits[i])}${unit && ` ${unit}`}` : "";
    return `${labels[i]}${scale}${note}`;
  }

  tell() {
    const { content, model } = this;
    const n = content.neurons.length;
    const chosen = model.get("selected");
    const names = chosen.map((neuron) => content.labels[content.neurons.indexOf(neuron)]);
    const list = names.length > 6 ? `${names.slice(0, 6).join(", ")}, …` : names.join(", ");
    const words = chosen.length ? `Chosen: ${list}. ` : "";
    say(this.count, n ? counted(n, "neuron") : "");
    if (this.empty) say(this.foot, "");
    else say(this.foot, this.hovered >= 0 ? this.describe(this.hovered) : words + KEYS_HELP);
    const [, , height, width] = content.shape;
    const title = model.get("title") || "Images";
    const what = this.empty ? `${title}: ${model.get("placeholder")}` : `${title}: ${
      counted(n, "neuron")}, ${width} by ${height} pixels each, blue below zero, red above. ${words}`;
    this.canvas.setAttribute("aria-label", what.trim());
    this.scroller.setAttribute("aria-label", this.empty ? what : what + KEYS_HELP);
  }

  // ---- painting

  schedule() {
    if (this.animation || this.removed.signal.aborted) return;
    this.animation = requestAnimationFrame(() => {
      this.animation = 0;
      this.paint();
      this.acknowledge();
    });
  }

  readColours() {
    const style = getComputedStyle(this.root);
    const value = (name) => style.getPropertyValue(name).trim();
    this.colours = { text: style.color, line: value("--orw-line"), accent: value("--orw-accent"),
      font: style.fontFamily };
  }

  paint() {
    const { canvas, grid, size } = this;
    if (!size) return;
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    if (!grid || this.empty) return;
    if (!this.colours) this.readColours();
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor((top - GAP) / grid.pitchY));
    const last = Math.min(grid.down - 1, Math.floor((top + size.height) / grid.pitchY));
    this.fillAtlas(first * grid.across, Math.min((last + 1) * grid.across,
      this.content.neurons.length));
    context.imageSmoothingEnabled = false;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const chosen = new Set(this.model.get("selected"));
    for (let i = this.first; i < this.end; i++) {
      const x = GAP + (i % grid.across) * grid.pitchX;
      const y = GAP + Math.floor(i / grid.across) * grid.pitchY - top;
      this.paintTile(context, i, x, y, chosen);
    }
  }

  /** The pixels in view, side by side on a canvas of their own, at native resolution. */
  fillAtlas(/** @type {number} */ first, /** @type {number} */ end) {
    const key = `${first} ${end} ${this.content.version}`;
    if (key === this.atlasKey) return;
    Object.assign(this, { atlasKey: key, first, end, holes: new Set() });
    const { data, shape: [, panels, rows, columns] } = this.content;
    const { atlas, table } = this;
    const stack = panels * rows; // the panels of a neuron one under the other, as in memory
    const width = columns * (end - first);
    if (atlas.width !== width || atlas.height !== stack) {
      Object.assign(atlas, { width, height: stack });
      this.image = new ImageData(width, stack);
    }
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let i = first; i < end; i++) {
      let from = i * stack * columns;
      for (let row = 0; row < stack; row++) {
        let to = row * width + (i - first) * columns;
        for (let column = 0; column < columns; column++) {
          const index = data[from++];
          if (!index) this.holes.add(i);
          pixels[to++] = table[index];
        }
      }
    }
    atlas.getContext("2d").putImageData(this.image, 0, 0);
  }

  paintTile(context, i, x, y, /** @type {Set<number>} */ chosen) {
    const { grid, colours, content, atlas } = this;
    const { width, height } = grid.picture;
    const [, panels, rows, columns] = content.shape;
    const isChosen = chosen.has(content.neurons[i]);
    const left = Math.round(x + (grid.pitchX - GAP - grid.inner) / 2);
    const top = Math.round(y);
    if (this.holes.has(i)) {
      context.fillStyle = this.hatch(context);
      context.fillRect(left, top, grid.inner, height);
    }
    for (let panel = 0; panel < panels; panel++) {
      context.fillStyle = colours.line;
      if (panel) context.fillRect(left + panel * (width + PANEL_GAP) - 2, top, 1, height);
      const at = left + panel * (width + PANEL_GAP);
      context.drawImage(atlas, (i - this.first) * columns, panel * rows, columns, rows, at, top,
        width, height);
    }
    const frame = (grow, lineWidth, style) => {
      context.lineWidth = lineWidth;
      context.strokeStyle = style;
      context.strokeRect(left - grow, top - grow, grid.inner + 2 * grow, height + 2 * grow);
    };
    if (isChosen) frame(2.5, 3, colours.accent);
    else frame(0.5, 1, i === this.hovered ? colours.text : colours.line);
    if (i === this.cursor && document.activeElement === this.scroller) {
      context.setLineDash([4, 3]);
      frame(5, 1.5, colours.text);
      context.setLineDash([]);
    }
    context.font = `${isChosen ? "600 " : ""}${LABEL_FONT}px ${colours.font}`;
    context.fillStyle = colours.text;
    const middle = left + grid.inner / 2;
    context.fillText(this.short(context, i, isChosen), middle, top + height + LABEL / 2 + 3);
  }

  /** A label as far as it fits. */
  short(context, i, /** @type {boolean} */ bold) {
    const key = `${i} ${bold}`;
    let text = this.shortened.get(key);
    if (text !== undefined) return text;
    const most = this.grid.pitchX - 4;
    text = this.content.labels[i];
    if (context.measureText(text).width > most) {
      while (text && context.measureText(`${text}…`).width > most) text = text.slice(0, -1);
      text = `${text.trimEnd()}…`;
    }
    this.shortened.set(key, text);
    return text;
  }

  hatch(context) {
    this.pattern ??= hatchOf(context);
    return this.pattern;
  }

  remove() {
    if (this.removed.signal.aborted) return;
    this.removed.abort();
    cancelAnimationFrame(this.animation);
    this.observer.disconnect();
    this.leaveTheme();
    for (const canvas of [this.atlas, ...this.root.querySelectorAll("canvas")]) {
      canvas.width = canvas.height = 0;
    }
    this.root.remove();
    this.takeLeave();
  }
}

/** Called once a model: its views share the newest content, live or not. */
export default () => {
  const nothing = contentOf({
    version: -1, shape: [0, 1, 0, 0], neurons: [], labels: [], notes: [], panels: [], limits: [],
  });
  const shared = /** @type {Shared} */ ({ content: nothing, frame: 0, asked: 0, views: new Set() });

  function initialize({ model }) {
    const onContent = () => {
      const content = contentOf(model.get("_content"));
      if (content.version < shared.content.version) return;
      shared.content = content;
      for (const view of shared.views) view.build();
    };
    const onMessage = (message, buffers) => {
      if (message.event !== "frames") return;
      shared.frame = message.frame;
      if (message.ask) shared.asked = message.frame;
      if (message.places) takePlaces(message, contentOf({}, buffers[0]).data);
      else takeAll(message, buffers[0]);
      for (const view of shared.views) view.refresh();
    };
    function takeAll({ version, limits }, buffer) {
      const live = contentOf({ ...shared.content, version, limits }, buffer);
      const fits = live.data.length === shared.content.data.length;
      if (fits && version > shared.content.version) shared.content = live;
    }
    /** Only some images changed since the version `base`. */
    function takePlaces({ version, base, places, limits }, data) {
      const { content } = shared;
      if (version <= content.version) return;
      const [view] = shared.views;
      if (content.version < base) { // something was missed: ask for all of it
        view?.announce(content.version);
        return;
      }
      const size = content.data.length / content.neurons.length;
      // What is shown may be the state of the model, which is not ours to change.
      const mine = shared.own === content ? content : {
        ...content, data: content.data.slice(), limits: [...content.limits],
      };
      places.forEach((place, k) => {
        mine.data.set(data.subarray(k * size, (k + 1) * size), place * size);
        mine.limits[place] = limits[k];
      });
      mine.version = version;
      shared.content = shared.own = mine;
    }
    onContent();
    return listen(model, { "change:_content": onContent, "msg:custom": onMessage });
  }

  return liveModule(shared, initialize, (...given) => new Wall(...given), TRAITS, (view) => ({
    "change:selected": () => view.follow(),
  }));
};
