// A few lines of Python to edit and run: a textarea over its own coloured text. Colours follow
// JupyterLab's. What runs is decided in Python; an endless computation is stopped through the
// server, since no message reaches a kernel that computes.

const WORDS = new Set(("False None True and as assert async await break class continue def del elif " +
  "else except finally for from global if import in is lambda nonlocal not or pass raise return " +
  "try while with yield match case").split(" "));
const TOKEN = new RegExp([
  "(?<comment>#[^\\n]*)",
  "(?<string>(?:\\b[rbfuRBFU]{1,2})?(?:'''[\\s\\S]*?(?:'''|$)|\"\"\"[\\s\\S]*?(?:\"\"\"|$)" +
    "|'(?:\\\\.|[^'\\\\\\n])*'?|\"(?:\\\\.|[^\"\\\\\\n])*\"?))",
  "(?<number>\\b(?:0[xob][\\da-fA-F_]+|\\d[\\d_]*\\.?\\d*(?:[eE][+-]?\\d+)?j?)\\b)",
  "(?<name>[A-Za-z_\\u0080-\\uffff][\\w\\u0080-\\uffff]*)",
].join("|"), "g");
const INDENT = "    ";
const ANSWER_WITHIN = 1500; // ms, for a kernel that was asked to stop
const CANNOT = "This page cannot interrupt code that computes. In Voilà, load the page again: " +
  "answers and code are kept. Elsewhere, interrupt the kernel in the notebook's own menu.";

/** Fill an element with text in coloured pieces. No markup is ever read from the text. */
function paint(/** @type {HTMLElement} */ el, /** @type {string} */ text) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(TOKEN)) {
    const kinds = match.groups;
    const kind = kinds.comment ? "comment" : kinds.string ? "string" : kinds.number ? "number"
      : WORDS.has(match[0]) ? "keyword" : "";
    if (!kind) continue;
    pieces.push(text.slice(end, match.index));
    const span = document.createElement("span");
    span.className = `orw-code-${kind}`;
    span.textContent = match[0];
    pieces.push(span);
    end = match.index + match[0].length;
  }
  el.replaceChildren(...pieces, text.slice(end), "\n");
}

/** Ask the server to interrupt the kernel; false where there is none that can be asked. */
async function interrupt(/** @type {string} */ kernel) {
  const told = document.getElementById("jupyter-config-data")?.textContent;
  if (!kernel || !told) return false;
  const { baseUrl = "/", token = "" } = JSON.parse(told);
  const headers = token ? { Authorization: `token ${token}` } : {};
  const xsrf = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie);
  if (xsrf) headers["X-XSRFToken"] = xsrf[1];
  const url = `${baseUrl.replace(/\/$/, "")}/api/kernels/${encodeURIComponent(kernel)}/interrupt`;
  try {
    return (await fetch(url, { method: "POST", headers, credentials: "same-origin" })).ok;
  } catch {
    return false;
  }
}

function render({ model, el }) {
  const make = (tag, name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), { className: name }, properties);
    made.append(...children);
    return made;
  };
  const colours = make("pre", "orw-code-colours", { ariaHidden: "true" });
  const area = make("textarea", "orw-code-text", { spellcheck: false, wrap: "off" });
  area.setAttribute("autocapitalize", "off");
  area.setAttribute("autocomplete", "off");
  const told = make("span", "orw-code-hidden", { id: `orw-code-${Math.random().toString(36).slice(2)}`,
    textContent: "Tab indents; Escape, then Tab, leaves. Shift and Enter runs." });
  area.setAttribute("aria-describedby", told.id);
  const count = make("span", "orw-code-count", { ariaHidden: "true" });
  const box = make("div", "orw-code-box", {}, colours, area);
  const press = (icon, text, title) => {
    const button = make("button", "jupyter-button orw-code-button", { type: "button", title },
      make("i", `fa fa-${icon} orw-code-icon`, { ariaHidden: "true" }), text);
    return button;
  };
  const run = press("play", "Run", "Run this code (Shift+Enter)");
  const stop = press("stop", "Stop", "Stop what runs");
  const reset = press("undo", "Reset", "The lesson's own code; once more brings yours back");
  run.classList.add("mod-primary");
  const note = make("span", "orw-code-note");
  note.setAttribute("role", "status");
  const bar = make("div", "orw-code-bar", {}, run, stop, reset, note);
  const root = make("div", "orw-code", {}, make("div", "orw-code-row", {}, count, box), bar, told);
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab leaves our keys to us
  el.append(root);

  let timer = 0, answered = 0, stuck = false, leaving = false, mine = null;
  const grow = () => {
    paint(colours, area.value);
    area.rows = Math.max(1, area.value.split("\n").length);
  };
  const send = () => {
    clearTimeout(timer);
    if (model.get("source") === area.value) return;
    model.set("source", area.value);
    model.save_changes();
  };
  const write = (text) => {
    // The browser's own undo keeps what is typed this way.
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
      changed();
    }
  };
  const changed = () => {
    grow();
    clearTimeout(timer);
    timer = setTimeout(send, 300);
  };
  const start = () => {
    if (model.get("state") !== "idle") return;
    send();
    model.send({ do: "run", source: area.value });
  };
  const halt = async () => {
    stop.disabled = true;
    const asked = model.get("state") === "running" && await interrupt(model.get("_kernel"));
    model.send({ do: "stop" }); // where it waits, and where no server can be asked
    answered = setTimeout(() => {
      stuck = !asked && model.get("state") === "running";
      show();
    }, ANSWER_WITHIN);
  };
  const indent = (back) => {
    const { value, selectionStart: from, selectionEnd: to } = area;
    const first = value.lastIndexOf("\n", from - 1) + 1;
    if (!back && from === to) return write(INDENT.slice((from - first) % INDENT.length));
    const lines = value.slice(first, to).split("\n");
    const moved = lines.map((line) =>
      back ? line.replace(/^ {1,4}/, "") : line ? INDENT + line : line);
    area.setSelectionRange(first, to);
    write(moved.join("\n"));
    const length = moved.join("\n").length;
    if (from === to) {
      const at = Math.max(first, from - (lines[0].length - moved[0].length));
      area.setSelectionRange(at, at);
    } else area.setSelectionRange(first, first + length);
  };
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.shiftKey || event.ctrlKey || event.metaKey)) {
      start();
    } else if (event.key === "Enter") {
      const line = area.value.slice(area.value.lastIndexOf("\n", area.selectionStart - 1) + 1,
        area.selectionStart);
      write(`\n${/^ */.exec(line)[0]}${/:\s*(#.*)?$/.test(line) ? INDENT : ""}`);
    } else if (event.key === "Tab" && !leaving) {
      indent(event.shiftKey);
    } else {
      if (event.key === "Escape") leaving = true;
      else if (event.key !== "Shift" && event.key !== "Tab") leaving = false;
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  const goBack = () => {
    const original = model.get("original");
    const text = area.value === original && mine !== null ? mine : original;
    if (area.value !== original) mine = area.value;
    area.focus();
    area.select();
    write(text);
    send();
    show();
  };
  const show = () => {
    const state = model.get("state");
    if (state !== "running") stuck = false;
    run.disabled = state !== "idle";
    stop.disabled = state === "idle" || stuck;
    reset.disabled = area.value === model.get("original") && mine === null;
    root.dataset.state = state;
    note.textContent = stuck ? CANNOT : state === "running" ? "Running …" : model.get("note");
    note.classList.toggle("orw-code-stuck", stuck);
    count.textContent = state === "idle" ? model.get("count") || "[ ]" : "[*]";
    area.setAttribute("aria-label", model.get("label"));
  };
  const take = () => {
    if (area.value !== model.get("source")) {
      area.value = model.get("source");
      grow();
    }
    show();
  };
  area.addEventListener("input", () => { changed(); show(); });
  area.addEventListener("keydown", onKey);
  area.addEventListener("blur", () => { leaving = false; send(); });
  area.addEventListener("scroll", () => { colours.scrollLeft = area.scrollLeft; });
  run.addEventListener("click", start);
  stop.addEventListener("click", halt);
  reset.addEventListener("click", goBack);
  take();
  const names = ["source", "state", "note", "count", "label", "original"].map((n) => `change:${n}`);
  for (const name of names) model.on(name, take);
  return () => {
    clearTimeout(timer);
    clearTimeout(answered);
    for (const name of names) model.off(name, take);
  };
}

export default { render };
