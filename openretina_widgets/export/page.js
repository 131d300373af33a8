// A page without a kernel: shows the front ends of the widgets, each with a model that only holds
// its state. `FRONT_ENDS` comes before this text.

/** What an anywidget's front end is given; what it would tell the kernel goes nowhere. */
class StillModel {
  constructor(/** @type {Record<string, any>} */ state) {
    Object.assign(this, { state, listeners: [] });
  }
  get(/** @type {string} */ name) { return this.state[name]; }
  set(/** @type {string} */ name, /** @type {any} */ value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    for (const [event, callback] of [...this.listeners]) {
      if (event === `change:${name}`) callback();
    }
  }
  save_changes() {}
  send() {}
  on(name, callback) { this.listeners.push([name, callback]); }
  off(name, callback) {
    this.listeners = this.listeners.filter(([n, c]) => n !== name || c !== callback);
  }
}

/** Put bytes in the places of `{"base64": text}`, as a kernel sends them. */
function withBytes(/** @type {any} */ value) {
  if (Array.isArray(value)) return value.map(withBytes);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.base64 === "string") {
    const text = atob(value.base64);
    return new DataView(Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withBytes(one)]));
}

async function show(/** @type {HTMLElement} */ el, /** @type {any} */ { module, state }) {
  const exported = FRONT_ENDS[module];
  const widget = typeof exported === "function" ? await exported() : exported;
  const model = new StillModel(withBytes(state));
  await widget.initialize?.({ model });
  await widget.render({ model, el });
  if (module === "tuning_plot") tellPoints(el);
}

/** A tooltip at the pointer that says which point is nearest, in the words of the plot. */
function tellPoints(/** @type {HTMLElement} */ el) {
  const stage = el.querySelector(".orw-curves-stage");
  const readout = el.querySelector(".orw-curves-readout");
  if (!stage || !readout) return;
  const tip = document.getElementById("tooltip");
  const hide = () => { tip.hidden = true; };
  stage.addEventListener("pointermove", (event) => {
    const words = readout.textContent.split(/ — |; /);
    tip.hidden = words.length < 2;
    tip.replaceChildren(...words.map((word) => {
      const line = document.createElement("div");
      line.textContent = word;
      return line;
    }));
    const { offsetWidth: width, offsetHeight: height } = tip;
    const right = event.clientX + 16 + width < innerWidth;
    tip.style.left = `${Math.max(4, right ? event.clientX + 16 : event.clientX - 16 - width)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 12, innerHeight - height - 4))}px`;
  });
  stage.addEventListener("pointerleave", hide);
  addEventListener("scroll", hide, { passive: true });
}

/** Widgets that paint on a canvas read their colours anew when they are told of a theme. */
function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const tell = () => { document.body.dataset.jpThemeLight = String(!dark.matches); };
  dark.addEventListener("change", tell);
  tell();
}

followTheme();
const views = JSON.parse(document.getElementById("views").textContent);
views.forEach((view, i) => {
  const el = document.getElementById(`view-${i}`);
  show(el, view).catch((error) => {
    el.textContent = `This could not be drawn: ${error}`;
    console.error(error);
  });
});
