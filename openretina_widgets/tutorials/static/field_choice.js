// Pictures of which one is picked: a group of radio buttons, each a small canvas. Python decides
// limits and colours. It follows the text of canvas.js, which has what is not defined here.

/**
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function}} Model
 * @typedef {{shape: [number, number, number], names: string[], notes: string[], right: number | null,
 *   words: string, frames: DataView, measured: DataView | null, unit: string}} Content
 */

const bytesOf = (/** @type {DataView} */ view) =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

class FieldChoiceView {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.table = tableOf(model.get("_colours"));
    this.group = makeElement("div", "orw-choice-group");
    this.group.setAttribute("role", "radiogroup");
    this.group.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves our keys to us
    this.measured = this.card();
    this.measured.root.classList.add("orw-choice-measured");
    const bar = makeCanvas(255, 1, 130, 12, "colour bar: blue below zero, white zero, red above");
    fill(bar, (x) => this.table[x + 1]);
    const ends = ["−max", "0", "+max"].map((words) => makeElement("span", "", { textContent: words }));
    this.legend = makeElement("div", "orw-choice-bar", {}, bar,
      makeElement("div", "orw-choice-ends", {}, ...ends));
    const aside = makeElement("div", "orw-choice-aside", {}, this.measured.root, this.legend);
    this.root = makeElement("div", "orw-choice", {}, this.group, aside);
    this.group.addEventListener("keydown", (event) => this.onKey(event));
    el.append(this.root);
    this.build();
  }

  get content() { return this.model.get("_content"); }

  card() {
    const canvas = makeElement("canvas");
    const name = makeElement("span", "orw-choice-name");
    const note = makeElement("span", "orw-choice-note");
    return { root: makeElement("div", "orw-choice-card", {}, canvas, name, note), canvas, name, note };
  }

  build() {
    const { names } = this.content;
    if (this.cards?.length !== names.length) {
      this.cards = names.map((_, i) => {
        const card = this.card();
        card.root.setAttribute("role", "radio");
        card.root.addEventListener("click", () => this.pick(i));
        return card;
      });
      this.group.replaceChildren(...this.cards.map((card) => card.root));
    }
    this.show();
  }

  show() {
    const { model, content } = this;
    const [n, height, width] = content.shape;
    const picked = model.get("picked");
    const locked = model.get("locked");
    this.group.setAttribute("aria-label", content.words);
    this.root.classList.toggle("orw-choice-locked", locked);
    const all = bytesOf(content.frames);
    this.cards.forEach((card, i) => {
      const { root } = card;
      say(card.name, content.names[i]);
      say(card.note, content.notes[i]);
      const chosen = picked === i;
      root.setAttribute("aria-checked", String(chosen));
      root.setAttribute("aria-disabled", String(locked));
      root.setAttribute("aria-label", `Picture ${content.names[i]}. ${content.notes[i]}`.trim());
      root.tabIndex = chosen || (picked === null && i === 0) ? 0 : -1;
      root.classList.toggle("orw-choice-right", content.right === i);
      root.classList.toggle("orw-choice-wrong", content.right !== null && chosen && content.right !== i);
      this.paint(card.canvas, all.subarray(i * height * width, (i + 1) * height * width), height, width);
    });
    const shown = content.measured ? bytesOf(content.measured) : null;
    say(this.measured.name, content.measured_name);
    say(this.measured.note, shown ? content.measured_note : "shown once you have observed");
    this.paint(this.measured.canvas, shown ?? new Uint8Array(height * width), height, width);
    this.measured.canvas.setAttribute("role", "img");
    this.measured.canvas.setAttribute("aria-label", `${content.measured_name}: ${
      shown ? content.measured_note : "not measured yet"}`);
    this.root.dataset.version = String(content.version);
    this.root.dataset.count = String(n);
  }

  paint(canvas, bytes, height, width) {
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      canvas.style.aspectRatio = `${width} / ${height}`;
    }
    fill(canvas, (x, y) => this.table[bytes[y * width + x]]);
  }

  pick(/** @type {number} */ i) {
    if (this.model.get("locked")) return;
    this.model.set("picked", i);
    this.model.save_changes();
    this.show();
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const n = this.cards.length;
    const now = Math.max(0, this.cards.findIndex((card) => card.root === document.activeElement));
    const goals = {
      ArrowRight: (now + 1) % n, ArrowDown: (now + 1) % n, ArrowLeft: (now + n - 1) % n,
      ArrowUp: (now + n - 1) % n, Home: 0, End: n - 1, " ": now, Enter: now,
    };
    if (!(event.key in goals)) return;
    event.preventDefault();
    event.stopPropagation();
    this.pick(goals[event.key]);
    this.cards[goals[event.key]].root.focus();
  }

  remove() {
    for (const { canvas } of [...this.cards, this.measured]) canvas.width = canvas.height = 0;
    this.root.remove();
  }
}

export default {
  render({ model, el, signal }) {
    const view = new FieldChoiceView(model, el);
    const show = () => view.show();
    const stop = listen(model, { "change:_content": () => view.build(), "change:picked": show,
      "change:locked": show });
    let gone = false;
    const remove = () => {
      if (gone) return;
      gone = true;
      stop();
      view.remove();
    };
    signal?.addEventListener("abort", remove, { once: true });
    return remove;
  },
};
