// A movie player for stimuli. Python decides limits and colours; this module looks the colours up,
// paints and plays. Playback stays here; Python is only told of live pictures that it asks about (see transport.py).
// It follows the texts of canvas.js and live_canvas.js, which have what is not defined here.

/**
 * What is shown, as encode_movie in movie.py makes it; `data` holds the indices of `frames`, and is
 * empty without a stimulus. `limits` has one pair a channel.
 * @typedef {{version: number, shape: [number, number, number, number], limits: [number, number][],
 *   channels: {name: string, colour: string}[], undefined: number, data: Uint8Array}} Movie
 * @typedef {{movie: Movie, frame: number, asked: number, arrived: number, views: Set<View>}} Shared
 *   by all views of a model; `asked` is the newest live picture that Python asked about
 * @typedef {{get: (name: string) => any, on: Function, off: Function, send: Function}} Model
 * @typedef {{mixture: boolean, first: number, name: string, canvas: HTMLCanvasElement,
 *   node: HTMLElement, image?: ImageData}} Panel
 */

const GAINS = [1, 1.5, 2, 3, 4, 6, 8, 12, 16]; // steps of the contrast control
const SHOW_TIME_EVERY = 125; // ms, while it plays: nobody reads faster, and labels cost a layout
const SHOW_TIME_LIVE = 400; // ms, while live pictures arrive: a layout costs more than a picture
const LIVE_FOR = 500; // ms after a live picture
const BETWEEN_LIVE = 150; // ms from a painted live picture to a frame of playback
const EARLY = 8; // ms, half a screen refresh
const WIDEST = 2.2; // greatest width of a panel, in greatest heights
const LAYOUT_TRAITS = ["title", "unit", "frame_rate", "pixel_size_um", "height", "scale", "panels",
  "controls", "placeholder"];
const icon = (path) => `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
const PLAY = icon("M4 2.5v11l9-5.5z");
const PAUSE = icon("M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z");
const CONTROLS = `
  <div class="orw-player-playback">
    <button type="button" class="orw-player-play"></button>
    <input type="range" class="orw-player-scrub" min="0" step="1" value="0" aria-label="Frame"
      title="Drag to a frame (arrow keys: one frame; Home, End)">
    <output class="orw-player-frame" title="Frames count from 0, as in stimulus[:, frame]"></output>
    <div class="orw-player-axis">time (s)</div>
    <div class="orw-player-ticks"></div>
    <output class="orw-player-time" title="Time at which the frame begins"></output>
  </div>
  <div class="orw-player-settings">
    <div class="orw-player-timing">
      <label title="Playback speed; 1× is the frame rate of the stimulus">Speed
        <select class="orw-player-speed">${[0.25, 0.5, 1, 2, 4].map((speed) =>
    `<option value="${speed}"${speed === 1 ? " selected" : ""}>${speed}×</option>`).join("")}
        </select></label>
      <label title="Start over at the end">
        <input type="checkbox" class="orw-player-loop">Loop</label>
    </div>
    <label title="The colours reach their ends at smaller values (double-click: ×1)">Contrast
      <input type="range" class="orw-player-contrast" min="0" max="${GAINS.length - 1}" value="0">
      <output class="orw-player-gain">×1</output></label>
  </div>`;

/** @param {any} content @param {DataView} [buffer] @returns {Movie} */
function movieOf(content, buffer = content.frames) {
  const { buffer: memory, byteOffset, byteLength } = buffer ?? new DataView(new ArrayBuffer(0));
  return { ...content, data: new Uint8Array(memory, byteOffset, byteLength) };
}

const shareLimits = (/** @type {Movie} */ movie) => new Set(movie.limits.map(String)).size === 1;

/** What panels and bars are made for; a new frame, length or limit does not change it. */
const layoutOf = (/** @type {Movie} */ movie) =>
  JSON.stringify([movie.shape.slice(2), movie.channels, shareLimits(movie)]);

// ---- panels, bars, legends

/** An element of class orw-player-`name`. */
const make = (/** @type {string} */ tag, name = "", properties = {}, ...children) =>
  makeElement(tag, name && `orw-player-${name}`, properties, ...children);

/** Size of the pictures in CSS pixels: a whole number of them a pixel, if that fits. */
function cssSize(/** @type {Model} */ model, /** @type {Movie} */ { shape: [, , height, width] }) {
  const most = model.get("height");
  if (!height) return { scale: 0, width: most, height: most }; // nothing is known yet
  const fits = Math.min(most / height, (WIDEST * most) / width);
  const scale = model.get("scale") ?? (fits < 1 ? fits : Math.floor(fits));
  return { scale, width: scale * width, height: scale * height };
}

function makeScaleBar(/** @type {Model} */ model, width, scale) {
  const size = model.get("pixel_size_um");
  const length = Math.max(roundDown(0.45 * width * (size ?? 1)), size ? 0 : 1);
  const line = make("span", "scale-line");
  line.style.width = `${(length / (size ?? 1)) * scale}px`;
  const title = size ? `On the retina; a pixel is ${numeral(size)} µm` : "Pixel size not known";
  const words = size ? `${numeral(length)} µm` : counted(length, "pixel");
  return make("div", "foot", { title }, line, words);
}

/** @returns {Panel} */
function makePanel(model, movie, size, first, mixture = false) {
  const [, , height, width] = movie.shape;
  const name = mixture ? "combined" : movie.channels[first].name;
  const canvas = makeCanvas(width || 1, height || 1, size.width, size.height, name);
  const chip = make("span", "chip");
  const [a, b] = movie.channels.slice(first).map((channel) => channel.colour);
  chip.style.background = mixture ? `linear-gradient(90deg, ${a} 50%, ${b} 50%)` : a;
  const foot = size.scale ? makeScaleBar(model, width, size.scale) : make("div", "foot");
  const node = make("div", "panel", {}, make("div", "head", {}, chip, name), canvas, foot);
  return { mixture, first, name, canvas, node };
}

/** Colour bar of a channel, or of all when they share their limits. */
function makeBar(unit, size, channel, [map]) {
  const canvas = makeCanvas(1, 255, 16, size.height, "colour bar");
  fill(canvas, (_, y) => map[255 - y]);
  const labels = [0, 1, 2].map(() => make("span"));
  const column = make("div", "bar-labels", {}, ...labels);
  const [head, note] = [make("div", "unit", { textContent: unit }), make("div", "foot")];
  const node = make("div", "bar", {}, head, make("div", "row", {}, canvas, column), note);
  return { canvas, labels, channel, note, node };
}

/** The colours of all mixtures of two channels: a small plane with axes. */
function makeLegend(movie, size, [, first, second]) {
  const side = Math.min(120, Math.round(0.6 * size.height));
  const canvas = makeCanvas(51, 51, side, side, "colours of the combined panel");
  const level = (k) => 1 + Math.round((254 * k) / 50);
  fill(canvas, (x, y) => first[level(x)] + second[level(50 - y)]);
  const labels = [0, 1, 2, 3].map(() => make("span")); // left, right, bottom, top
  const names = movie.channels.map(({ name }) => make("span", "", { textContent: name }));
  const up = make("div", "plane-y", {}, labels[3], names[1], labels[2]);
  const right = make("div", "plane-x", {}, labels[0], names[0], labels[1]);
  const plane = make("div", "plane", {}, up, canvas, make("span"), right);
  return { canvas, labels, node: make("div", "legend", {}, make("div", "head"), plane) };
}

/**
 * Everything above the controls. Bars and legends show whole tables whatever the contrast; their
 * labels change instead.
 * @param {Model} model @param {Movie} movie @param {Uint32Array[]} tables
 */
function makePanels(model, movie, tables) {
  const canMix = tables.length > 1 && movie.channels.length === 2;
  const mixed = canMix && model.get("panels") !== "channels";
  const apart = !mixed || model.get("panels") !== "combined";
  const size = cssSize(model, movie);
  const made = { panels: [], bars: [], legends: [], nodes: [] };
  const add = (part, list) => {
    list.push(part);
    made.nodes.push(part.node);
  };
  /** What a panel has beside it stays there where the row is too short. */
  const together = () =>
    made.nodes.push(make("div", "group", {}, ...made.nodes.splice(-2)));
  for (let c = 0; apart && c < movie.channels.length; c++) {
    add(makePanel(model, movie, size, c), made.panels);
    if (c < movie.channels.length - 1 && shareLimits(movie)) continue; // the last has the bar
    add(makeBar(model.get("unit"), size, c, tables), made.bars);
    together();
  }
  if (mixed) {
    add(makePanel(model, movie, size, 0, true), made.panels);
    add(makeLegend(movie, size, tables), made.legends);
    together();
  }
  return made;
}

/** Numbers under the scrubber, at round times. */
function makeTicks(/** @type {number} */ nFrames, /** @type {number} */ frameRate) {
  if (nFrames < 2) return [];
  const last = (nFrames - 1) / frameRate;
  const step = roundDown(last / 3);
  return Array.from({ length: Math.floor(last / step + 1e-9) + 1 }, (_, i) => {
    const tick = make("span", "", { textContent: numeral(i * step) });
    tick.style.left = `${(100 * i * step) / last}%`;
    return tick;
  });
}

class View extends LiveView {
  /** @param {Model} model @param {HTMLElement} el @param {Shared} shared */
  constructor(model, el, shared) {
    super(model, shared);
    this.position = 0; // in frames; its whole part is the frame that is shown
    this.playing = this.started = false;
    this.animation = this.waiting = this.timeShown = this.lastTick = 0;
    this.removed = new AbortController();
    this.root = make("div", "", { tabIndex: 0, className: "orw-player" });
    this.root.setAttribute("role", "group");
    this.root.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves our keys to us
    for (const name of ["title", "stage", "message"]) this[name] = make("div", name);
    this.controls = make("fieldset", "controls", { innerHTML: CONTROLS });
    for (const node of this.controls.querySelectorAll("[class]")) {
      this[node.className.replace("orw-player-", "")] = node; // play, scrub, frame, ...
    }
    this.loop.checked = model.get("loop");
    this.root.append(this.title, this.stage, this.controls);
    el.append(this.root);
    this.listen();
    this.build();
    this.announce(shared.movie.version);
  }

  /** @returns {Movie} */
  get movie() { return this.shared.movie; }
  get empty() { return this.movie.data.length === 0; }
  get last() { return Math.max(0, this.movie.shape[1] - 1); }
  get index() { return Math.floor(this.position); }

  listen() {
    const { signal } = this.removed;
    const on = (node, name, act) => node.addEventListener(name, act, { signal });
    on(this.play, "click", () => this.setPlaying(!this.playing));
    on(this.scrub, "input", () => this.goTo(Number(this.scrub.value)));
    on(this.contrast, "input", () => this.recolour());
    on(this.contrast, "dblclick", () => this.recolour((this.contrast.value = "0")));
    on(this.root, "keydown", (event) => this.onKey(event));
  }

  /** Panels, bars and titles: made anew only when sizes, names or units change. */
  build() {
    const { model, movie } = this;
    const { map, mixture, pivot } = model.get("_colours");
    Object.assign(this, { pivot, tables: [tableOf(map)] });
    if (mixture.byteLength) this.tables.push(tableOf(mixture), tableOf(mixture, 3 * 256, 0));
    this.free();
    Object.assign(this, makePanels(model, movie, this.tables));
    this.stage.replaceChildren(...this.nodes);
    this.panels[0].node.append(this.message);
    this.title.textContent = model.get("title");
    this.title.hidden = !model.get("title");
    this.layout = layoutOf(movie);
    this.timeAxis = this.scale = "";
    this.refresh();
  }

  /** The content is new: draw it at the frame where playback is. */
  refresh() {
    if (this.layout !== layoutOf(this.movie)) return void this.build();
    const { model, movie, empty } = this;
    say(this.message, empty ? model.get("placeholder") : "");
    this.root.classList.toggle("orw-player-empty", empty);
    this.controls.disabled = empty;
    this.controls.hidden = !model.get("controls");
    this.playback.hidden = this.timing.hidden = movie.shape[1] === 1;
    this.position = Math.min(this.position, this.last + 0.999);
    // A live picture mostly changes the pixels alone, and every touched label costs a layout.
    const scale = JSON.stringify([movie.limits, movie.undefined, empty, movie.shape[1]]);
    if (scale !== this.scale) {
      this.scale = scale;
      this.describe();
      this.recolour();
    }
    this.stale = true;
    this.schedule();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.setPlaying(this.started ? this.playing : model.get("autoplay") && !still);
    this.started = !empty;
  }

  /** What is shown, in words; the time axis. */
  describe() {
    const { model, movie } = this;
    const [n, frames, height, width] = movie.shape;
    const rate = model.get("frame_rate");
    const names = movie.channels.map((channel) => channel.name).join(", ");
    const colours = [...new Set(movie.limits.map((pair) => pair.map(numeral).join(" to ")))];
    const holes = movie.undefined ? `; ${counted(movie.undefined, "value")} undefined` : "";
    const words = this.empty
      ? `empty. ${model.get("placeholder")}`
      : `${counted(n, "channel")} (${names}), ${counted(frames, "frame")} at ${numeral(rate)} Hz, ${
        width} by ${height} pixels; colours from ${colours.join(" and ")} ${model.get("unit")}${holes}`;
    this.root.setAttribute("aria-label", `${model.get("title") || "Stimulus"}: ${words}`);
    if (this.timeAxis === `${frames} ${rate}`) return;
    this.timeAxis = `${frames} ${rate}`;
    this.scrub.max = this.last;
    this.ticks.replaceChildren(...makeTicks(frames, rate));
  }

  /** Contrast or limits are new: the tables, and the labels of bars and legends. */
  recolour() {
    const { pivot, movie } = this;
    const gain = GAINS[this.contrast.value];
    this.gain.textContent = `×${gain}`;
    this.shown = this.tables.map((table) => stretched(table, pivot, gain));
    const value = (i, [low, high]) => low + ((pivot + (i - pivot) / gain - 1) * (high - low)) / 254;
    const ends = (pair) => [255, pivot, 1].map((i) => numeral(value(i, pair)));
    for (const { labels, channel, note } of this.bars) {
      ends(movie.limits[channel]).forEach((text, i) => (labels[i].textContent = text));
      if (pivot === 1) labels[1].textContent = ""; // the pivot is the lower end
      note.replaceChildren();
      if (movie.undefined) note.append(make("span", "hatch"), "undefined");
      note.title = movie.undefined ? `Not finite: ${counted(movie.undefined, "value")}` : "";
    }
    for (const { labels } of this.legends) {
      const [[right, , left], [top, , bottom]] = movie.limits.map(ends);
      [left, right, bottom, top].forEach((text, i) => (labels[i].textContent = text));
    }
    this.stale = true;
    this.schedule();
  }

  // ---- playback

  setPlaying(/** @type {boolean} */ playing) {
    const starts = !this.playing && playing;
    this.playing = playing && this.last > 0 && !this.empty;
    if (starts) this.lastTick = performance.now();
    if (starts && this.index === this.last) this.position = 0;
    const word = this.playing ? "Pause" : "Play";
    if (this.play.title.startsWith(word)) return;
    this.play.innerHTML = this.playing ? PAUSE : PLAY;
    this.play.setAttribute("aria-label", word);
    this.play.title = `${word} (space)`;
    this.stale = true;
    this.schedule();
  }

  goTo(/** @type {number} */ frame) {
    this.position = Math.min(Math.max(0, frame), this.last);
    this.setPlaying(false);
    this.schedule();
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || this.empty || !this.last) return;
    if (target === this.speed || target === this.contrast) return; // they use these keys
    if (key === " " && (target === this.loop || target === this.play)) return;
    const { index, last } = this;
    const goals = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last };
    if (key === " ") this.setPlaying(!this.playing);
    else if (key in goals) this.goTo(goals[key]);
    else return;
    event.preventDefault();
  }

  advance(/** @type {number} */ now) {
    // After a while in a hidden tab it goes on where it was.
    const seconds = Math.min(Math.max(0, now - this.lastTick), 250) / 1000;
    this.lastTick = now;
    this.position += seconds * this.model.get("frame_rate") * Number(this.speed.value);
    if (this.position < this.last + 1) return;
    if (this.loop.checked) this.position %= this.last + 1;
    else this.goTo(this.last);
  }

  // ---- painting

  schedule() {
    if (this.animation || this.removed.signal.aborted) return;
    this.animation = requestAnimationFrame((now) => this.tick(now));
  }

  tick(/** @type {number} */ now) {
    this.animation = 0;
    if (this.playing) this.advance(now);
    if (this.stale || this.index !== this.shownIndex) this.paint();
    this.acknowledge();
    clearTimeout(this.waiting);
    if (this.playing) this.waiting = setTimeout(() => this.schedule(), this.untilNextFrame(now));
  }

  isLive(/** @type {number} */ now) { return now - this.shared.arrived < LIVE_FOR; }

  /** Milliseconds until the next frame of the stimulus is due. Each drawn frame costs the machine,
   * which the run needs as well if it is the same one: so while live pictures arrive, playback
   * keeps time but is drawn with them, and seldom between them. */
  untilNextFrame(/** @type {number} */ now) {
    if (this.isLive(now)) return BETWEEN_LIVE;
    const rate = this.model.get("frame_rate") * Number(this.speed.value);
    return Math.max(0, (1000 * (this.index + 1 - this.position)) / rate - EARLY);
  }

  paint() {
    this.stale = false;
    this.shownIndex = this.index;
    for (const panel of this.panels) this.paintPanel(panel);
    this.showTime();
  }

  paintPanel(/** @type {Panel} */ panel) {
    const { data, shape: [, frames, height, width] } = this.movie;
    const [map, green, violet] = this.shown;
    const start = (panel.first * frames + this.index) * height * width;
    const second = start + frames * height * width;
    panel.image ??= new ImageData(width || 1, height || 1);
    const pixels = new Uint32Array(panel.image.data.buffer);
    for (let i = 0; i < pixels.length; i++) {
      const a = data[start + i] ?? 0; // without data: undefined, transparent
      const b = panel.mixture ? (data[second + i] ?? 0) : 0;
      // No byte of the sum overflows: the two tables of the mixture add up to at most white.
      pixels[i] = !panel.mixture ? map[a] : a && b ? green[a] + violet[b] : 0;
    }
    panel.canvas.getContext("2d").putImageData(panel.image, 0, 0);
  }

  showTime() {
    const { index, last, empty } = this;
    const now = performance.now();
    const pause = this.isLive(now) ? SHOW_TIME_LIVE : SHOW_TIME_EVERY;
    if (this.playing && now - this.timeShown < pause) return;
    this.timeShown = now;
    const seconds = index / this.model.get("frame_rate");
    const at = `${seconds.toFixed(3)} s`;
    say(this.frame, empty ? "" : `frame ${index} of 0–${last}`);
    say(this.time, empty ? "" : `${at} (${Math.round(1000 * seconds)} ms)`);
    this.scrub.value = index;
    this.scrub.setAttribute("aria-valuetext", `frame ${index}, ${at}`);
    if (this.playing) return; // a screen reader need not hear every frame
    const when = last > 0 && !empty ? `, frame ${index} at ${at}` : "";
    for (const { canvas, name } of this.panels) canvas.setAttribute("aria-label", name + when);
  }

  /** Give the memory of the canvases back. */
  free() {
    for (const canvas of this.root.querySelectorAll("canvas")) canvas.width = canvas.height = 0;
  }

  remove() {
    if (this.removed.signal.aborted) return;
    this.removed.abort();
    cancelAnimationFrame(this.animation);
    clearTimeout(this.waiting);
    this.free();
    this.root.remove();
    this.takeLeave();
  }
}

/** Called once a model: its views share the newest content, live or not. */
export default () => {
  const nothing = movieOf({ version: -1, shape: [1, 0, 0, 0], channels: [], limits: [] });
  const shared = /** @type {Shared} */ ({
    movie: nothing, frame: 0, asked: 0, arrived: -Infinity, views: new Set(),
  });

  function take(/** @type {Movie} */ movie) {
    if (movie.version < shared.movie.version) return;
    shared.movie = movie;
    for (const view of shared.views) view.refresh();
  }

  function initialize({ model }) {
    const onContent = () => take(movieOf(model.get("_content")));
    const onMessage = (content, buffers) => {
      if (content.event !== "frames") return;
      shared.frame = content.frame;
      if (content.ask) shared.asked = content.frame;
      shared.arrived = performance.now();
      take(movieOf(content, buffers[0]));
    };
    onContent();
    return listen(model, { "change:_content": onContent, "msg:custom": onMessage });
  }

  return liveModule(shared, initialize, (...given) => new View(...given), LAYOUT_TRAITS);
};
