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
  return model;
}

/** What is chosen in a view: a neuron, or the number of a place; nothing without a choice. */
const chosenIn = (/** @type {StillModel} */ model) =>
  ("selected" in model.state ? model.get("selected")[0] : model.get("clicked")) ?? undefined;

/**
 * Let views follow others: what is chosen there decides the state here, by the values with a slash
 * between them. Views of one name choose together.
 */
function link(/** @type {{view: any, model: StillModel}[]} */ shown) {
  const named = (name) => shown.filter(({ view }) => view.name === name);
  const onChoice = (model, act) => ["selected", "clicked"].forEach((trait) => {
    if (trait in model.state) model.on(`change:${trait}`, act);
  });
  for (const { view, model } of shown.filter(({ view: one }) => one.name)) {
    onChoice(model, () => {
      const chosen = chosenIn(model);
      if (chosen === undefined || !("selected" in model.state)) return;
      for (const { model: other } of named(view.name)) {
        if (other !== model && chosenIn(other) !== chosen) other.set("selected", [chosen]);
      }
    });
  }
  let version = 1; // a newer content is told by its number
  for (const { view, model } of shown.filter(({ view: one }) => one.follows.length)) {
    const leaders = view.follows.map((name) => named(name)[0]?.model);
    if (leaders.some((leader) => leader === undefined)) continue;
    const follow = () => {
      const state = view.states[leaders.map(chosenIn).join("/")];
      for (const [name, value] of Object.entries(withBytes(state ?? {}))) {
        if (name === "_content") value.version = version += 1;
        model.set(name, value);
      }
    };
    for (const leader of leaders) onChoice(leader, follow);
  }
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
Promise.all(views.map(async (view, i) => {
  const el = document.getElementById(`view-${i}`);
  try {
    return { view, model: await show(el, view) };
  } catch (error) {
    el.textContent = `This could not be drawn: ${error}`;
    console.error(error);
    return null;
  }
})).then((shown) => link(shown.filter(Boolean)));
