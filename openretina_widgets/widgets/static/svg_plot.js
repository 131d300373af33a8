// What the plots drawn as SVG share: elements, ticks, and a view in which a condition is chosen.
// Not a module: the text follows that of canvas.js and comes before that of the module that uses
// it, so that each stays self-contained.

const SVG = "http://www.w3.org/2000/svg";

/** An element of a drawing. @returns {any} */
function draw(/** @type {string} */ tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

const text = (words, attributes) => {
  const node = draw("text", attributes);
  node.textContent = words;
  return node;
};

const at = (/** @type {number} */ number) => number.toFixed(1);

/** A tick's label: 112.5 stays what it is. */
const tickWords = (/** @type {number} */ number) =>
  String(Number(number.toPrecision(5))).replace("-", "−");

/** Values whose labels do not touch; `room` is what one takes. */
function spaced(/** @type {number[]} */ values, place, room) {
  let end = -Infinity;
  return values
    .map((value) => [place(value), value])
    .sort(([a], [b]) => a - b)
    .filter(([spot, value]) => {
      const half = room(value) / 2;
      if (spot - half < end) return false;
      end = spot + half;
      return true;
    })
    .map(([, value]) => value);
}

/**
 * A heading, a drawing, a note and what is pointed at in words. What extends it has `paint`, which
 * draws all and makes `guide`; `mark`, which shows in there what is pointed at and chosen; `under`,
 * the condition at a pointer or null; and `onKey`.
 */
class SvgPlot {
  /** @param {Model} model @param {HTMLElement} el @param {string} kind */
  constructor(model, el, kind) {
    this.model = model;
    this.removed = new AbortController();
    this.hovered = null;
    const part = (name) => makeElement("div", `orw-plot-${name} ${kind}-${name}`);
    this.root = makeElement("div", `orw-plot ${kind}`, { tabIndex: 0 });
    this.root.setAttribute("role", "group");
    this.root.dataset.lmSuppressShortcuts = "true";
    for (const name of ["title", "stage", "message", "note", "readout"]) this[name] = part(name);
    this.drawing = draw("svg", { role: "img" });
    this.stage.append(this.drawing, this.message);
    this.readout.setAttribute("role", "status");
    this.root.append(this.title, this.stage, this.note, this.readout);
    el.append(this.root);
    const { signal } = this.removed;
    const on = (node, name, act) => node.addEventListener(name, act, { signal });
    on(this.drawing, "click", (event) => this.choose(this.under(event)));
    on(this.drawing, "pointermove", (event) => this.hover(this.under(event)));
    on(this.drawing, "pointerleave", () => this.hover(null));
    on(this.root, "keydown", (event) => this.onKey(event));
    this.watcher = new ResizeObserver(() => this.schedule());
    this.watcher.observe(this.stage);
    this.schedule();
  }

  get content() { return this.model.get("_content"); }

  schedule() {
    if (this.animation || this.removed.signal.aborted) return;
    this.animation = requestAnimationFrame(() => {
      this.animation = 0;
      this.paint();
    });
  }

  /** Say what is drawn: the heading, the note, and all of it for who does not see it. */
  describe(/** @type {string} */ what, /** @type {boolean} */ empty) {
    const { model, content } = this;
    const [title, placeholder] = [model.get("title"), model.get("placeholder")];
    say(this.title, title);
    this.title.hidden = !title;
    say(this.note, content.note);
    say(this.message, empty ? placeholder : "");
    for (const node of [this.root, this.drawing]) {
      node.setAttribute("aria-label", `${title || what}: ${empty ? placeholder : content.words}`);
    }
  }

  /** Put nodes in the place of what was drawn. */
  redraw(/** @type {number} */ width, /** @type {number} */ height, nodes) {
    const size = { width, height, viewBox: `0 0 ${width} ${height}` };
    for (const [name, value] of Object.entries(size)) this.drawing.setAttribute(name, String(value));
    this.drawing.replaceChildren(...nodes);
    this.mark();
    this.root.dataset.version = String(this.content.version);
  }

  hover(/** @type {number | null} */ condition) {
    if (condition === this.hovered || !this.guide) return;
    this.hovered = condition;
    this.mark();
  }

  choose(/** @type {number | null} */ condition) {
    if (condition === null || condition === this.model.get("clicked")) return;
    this.model.set("clicked", condition);
    this.model.save_changes();
  }

  remove() {
    if (this.removed.signal.aborted) return;
    this.removed.abort();
    this.watcher.disconnect();
    cancelAnimationFrame(this.animation);
    this.root.remove();
  }
}

/** The module of a plot. */
const moduleOf = (/** @type {(model: Model, el: HTMLElement) => SvgPlot} */ make) => ({
  render({ model, el, signal }) {
    const view = make(model, el);
    const names = ["_content", "title", "height", "placeholder"].map((n) => `change:${n}`);
    const ask = () => view.schedule();
    const stop = listen(model, {
      ...Object.fromEntries(names.map((name) => [name, ask])),
      // What was just chosen is in the words, not the pointer.
      "change:clicked": () => [ask(), view.hover(null)],
    });
    const remove = () => [stop(), view.remove()];
    signal?.addEventListener("abort", remove, { once: true });
    return remove;
  },
});
