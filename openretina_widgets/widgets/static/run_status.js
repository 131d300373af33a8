// A progress bar, a row of figures and a message. Everything is text: nothing is read as markup.

/** @typedef {{get(name: string): any, on(event: string, f: () => void): void, off(event: string, f: () => void): void}} Model */

/** @param {string} name */
function part(name) {
  const element = document.createElement("div");
  element.className = `orw-status-${name}`;
  return element;
}

/** @param {{model: Model, el: HTMLElement}} view */
function render({ model, el }) {
  el.classList.add("orw-status");
  const bar = part("bar");
  const done = part("done");
  const figures = part("figures");
  const message = part("message");
  bar.setAttribute("role", "progressbar");
  bar.setAttribute("aria-label", "progress of the run");
  bar.setAttribute("aria-valuemin", "0");
  bar.setAttribute("aria-valuemax", "100");
  message.setAttribute("role", "status");
  bar.append(done);
  el.append(bar, figures, message);

  function draw() {
    const percent = Math.round(100 * model.get("progress"));
    el.dataset.kind = model.get("kind");
    done.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", String(percent));
    const pairs = model.get("figures");
    while (figures.children.length > pairs.length) figures.lastElementChild.remove();
    while (figures.children.length < pairs.length) {
      const pair = document.createElement("div");
      pair.append(part("label"), part("value"));
      figures.append(pair);
    }
    pairs.forEach(([label, value], i) => {
      figures.children[i].children[0].textContent = label;
      figures.children[i].children[1].textContent = value;
    });
    message.setAttribute("role", model.get("kind") === "failed" ? "alert" : "status");
    if (message.textContent !== model.get("message")) message.textContent = model.get("message");
  }

  draw();
  const events = ["change:kind", "change:progress", "change:figures", "change:message"];
  let asked = 0;
  const ask = () => {
    if (!asked) asked = requestAnimationFrame(() => { asked = 0; draw(); });
  };
  const kernelGone = () => {
    el.dataset.kind = "failed";
    message.setAttribute("role", "alert");
    message.textContent = "The kernel was stopped or restarted. Run this cell again to go on.";
  };
  for (const event of events) model.on(event, ask);
  model.on("comm_live_update", kernelGone);
  return () => {
    if (asked) cancelAnimationFrame(asked);
    model.off("comm_live_update", kernelGone);
    for (const event of events) model.off(event, ask);
  };
}

export default { render };
