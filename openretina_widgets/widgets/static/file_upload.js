// A button that sends a file to the kernel in pieces; see file_upload.py for the messages.

/** @typedef {{get(name: string): any, on: Function, off: Function, send: Function}} Model */

const PATIENCE = 30000; // ms without an answer of the kernel

function render({ model, el }) {
  const make = (tag, name, properties = {}) =>
    Object.assign(document.createElement(tag), { className: `orw-upload-${name}` }, properties);
  el.classList.add("orw-upload");
  const input = make("input", "file", { type: "file", tabIndex: -1 });
  const button = make("button", "button jupyter-button widget-button", { type: "button" });
  const bar = make("progress", "bar", { max: 1, value: 0, hidden: true });
  const message = make("span", "message");
  message.setAttribute("role", "status");
  bar.setAttribute("aria-label", "progress of the upload");
  el.append(input, button, bar, message);
  let upload = null; // {id, file, timer}

  function show() {
    button.textContent = upload ? "Cancel" : model.get("label");
    button.disabled = !upload && model.get("disabled");
    button.title = upload ? "Give the upload up"
      : `A file of this machine, at most ${Math.round(model.get("largest") / 1e6)} MB`;
    input.accept = model.get("accept");
    bar.hidden = !upload;
  }

  function say(text, failed = false) {
    message.textContent = text;
    el.classList.toggle("orw-upload-failed", failed);
    message.setAttribute("role", failed ? "alert" : "status");
  }

  function finish(text, failed = false) {
    clearTimeout(upload?.timer);
    upload = null;
    input.value = "";
    show();
    say(text, failed);
  }

  /** Send, and say so if no answer comes. */
  function send(content, buffers = []) {
    clearTimeout(upload.timer);
    upload.timer = setTimeout(
      () => finish("The kernel does not answer: is it busy, or was it restarted?", true), PATIENCE,
    );
    try {
      model.send({ id: upload.id, ...content }, undefined, buffers);
    } catch (error) {
      finish(`The kernel cannot be reached: ${error.message}`, true);
    }
  }

  input.addEventListener("change", () => {
    const file = input.files[0];
    if (!file) return;
    upload = { id: Math.random().toString(36).slice(2), file, timer: 0 };
    bar.value = 0;
    show();
    say(file.name);
    send({ event: "begin", name: file.name, size: file.size });
  });

  button.addEventListener("click", () => {
    if (!upload) return void input.click();
    const { id, file } = upload;
    model.send({ event: "cancel", id });
    finish(`${file.name} was not uploaded.`);
  });

  async function onMessage(content) {
    if (!upload || content.id !== upload.id) return;
    const { file, id } = upload;
    if (content.event === "end") {
      finish(content.error ? `${file.name}: ${content.error}` : `${file.name} has arrived.`,
        Boolean(content.error));
    } else if (content.event === "next") {
      bar.value = content.offset / file.size;
      say(`${file.name}: ${(content.offset / 1e6).toFixed(1)} of ${(file.size / 1e6).toFixed(1)} MB`);
      const piece = file.slice(content.offset, content.offset + model.get("_piece"));
      let bytes;
      try {
        bytes = await piece.arrayBuffer();
      } catch (error) {
        model.send({ event: "cancel", id });
        return void finish(`${file.name} cannot be read: ${error.message}`, true);
      }
      if (upload?.id === id) send({ event: "piece", offset: content.offset }, [bytes]);
    }
  }

  const events = ["change:label", "change:disabled", "change:accept", "change:largest"];
  for (const event of events) model.on(event, show);
  model.on("msg:custom", onMessage);
  show();
  return () => {
    clearTimeout(upload?.timer);
    for (const event of events) model.off(event, show);
    model.off("msg:custom", onMessage);
  };
}

export default { render };
