// The list of a lesson's steps: a press goes there; arrow keys walk, as in any list of buttons.

const WORDS = { "": "not yet seen", seen: "seen", open: "questions left", done: "done" };
const MARKS = { "": "", seen: "•", open: "○", done: "✓" };

function make(tag, kind, parent, text) {
  const node = document.createElement(tag);
  node.className = kind;
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function render({ model, el }) {
  el.classList.add("orw-contents");
  const title = make("div", "orw-contents-title", el);
  title.setAttribute("role", "heading");
  title.setAttribute("aria-level", "2");
  const minutes = model.get("minutes");
  if (minutes !== null) {
    const words = `About ${minutes} minute${minutes === 1 ? "" : "s"}`;
    make("div", "orw-contents-minutes", el, words);
  }
  const far = make("div", "orw-contents-far", el);
  const bar = make("div", "orw-contents-bar", el);
  bar.setAttribute("role", "progressbar");
  const filled = make("div", "orw-contents-filled", bar);
  const nav = make("nav", "orw-contents-nav", el);
  nav.setAttribute("aria-label", "Steps of the lesson");
  const list = make("ol", "orw-contents-list", nav);
  if (model.get("goals").length) {
    const goals = make("details", "orw-contents-goals", el);
    goals.open = model.get("step") === 0; // who is in the middle wants the step, not the goals
    make("summary", "", goals, "What you will learn");
    const learnt = make("ul", "", goals);
    for (const goal of model.get("goals")) make("li", "", learnt, goal);
  }
  const again = make("button", "orw-contents-again", el, "Start again");
  let asked = 0;

  function lines() {
    list.replaceChildren();
    model.get("titles").forEach((words, k) => {
      const button = make("button", "orw-contents-step", make("li", "", list));
      make("span", "orw-contents-number", button, String(k + 1));
      make("span", "orw-contents-words", button, words);
      make("span", "orw-contents-mark", button).setAttribute("aria-hidden", "true");
      button.addEventListener("click", () => model.send({ go: k }));
    });
    draw();
  }

  function draw() {
    const [step, done, n] = [model.get("step"), model.get("done"), model.get("titles").length];
    title.textContent = model.get("title");
    far.textContent = `Step ${step + 1} of ${n}`;
    const passed = done.filter((state) => state === "done" || state === "seen").length;
    filled.style.width = `${(100 * passed) / Math.max(n, 1)}%`;
    bar.setAttribute("aria-valuemin", "0");
    bar.setAttribute("aria-valuemax", String(n));
    bar.setAttribute("aria-valuenow", String(passed));
    bar.setAttribute("aria-label", `${passed} of ${n} steps done`);
    bar.title = `${passed} of ${n} steps done`;
    [...list.querySelectorAll("button")].forEach((button, k) => {
      const state = done[k] ?? "";
      button.classList.toggle("orw-contents-here", k === step);
      button.dataset.state = state;
      if (k === step) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
      button.querySelector(".orw-contents-mark").textContent = MARKS[state];
      button.title = `${model.get("titles")[k]}: ${WORDS[state]}`;
    });
  }

  // A step is read from its top. Where the top is in view, nothing moves.
  function top() {
    const lesson = el.closest(".orw-lesson");
    if (!lesson) return;
    const scrolls = (node) => node.scrollHeight > node.clientHeight &&
      /auto|scroll/.test(getComputedStyle(node).overflowY);
    let above = lesson.parentElement;
    while (above && !scrolls(above)) above = above.parentElement;
    const edge = above ? above.getBoundingClientRect().top : 0;
    if (lesson.getBoundingClientRect().top < edge) lesson.scrollIntoView({ block: "start" });
  }

  list.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    const buttons = [...list.querySelectorAll("button")];
    buttons[buttons.indexOf(document.activeElement) + way]?.focus();
    event.preventDefault();
    event.stopPropagation();
  });
  again.addEventListener("click", () => {
    if (asked) {
      clearTimeout(asked);
      asked = 0;
      again.textContent = "Start again";
      model.send({ again: true });
      return;
    }
    again.textContent = "Press again: answers and code go back";
    asked = setTimeout(() => {
      asked = 0;
      again.textContent = "Start again";
    }, 4000);
  });

  model.on("change:titles", lines);
  for (const name of ["title", "step", "done"]) model.on(`change:${name}`, draw);
  model.on("change:step", top);
  lines();
  return () => {
    clearTimeout(asked);
    model.off("change:titles", lines);
    model.off("change:step", top);
    for (const name of ["title", "step", "done"]) model.off(`change:${name}`, draw);
  };
}

export default { render };
