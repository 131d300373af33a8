// A class as the teacher sees it. Python counts and decides the words; this module shows them, big
// enough for the back of a room. Whatever a student wrote is text: nothing is read as markup.

/**
 * @typedef {{kind: "cartesian" | "polar", x: number[], label: string, log: boolean, count: number,
 *   left_out: number, lines: (number|null)[][], mean: (number|null)[], measured: boolean,
 *   truth: (number|null)[] | null}} Curves
 * @typedef {{version: number, room: string, place: string, trouble: string, total: number,
 *   students: {name: string, step: number, of: number, tutorial: string, answers: number}[],
 *   tutorial: string, steps: [string, number][], questions: [string, number][], question: string,
 *   asked: string, bars: [string, number, boolean | null][], predictions: [string, number][], prediction: string,
 *   curves: Curves | null}} Content
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function, send: Function}} Model
 */

const MARGIN = { left: 62, right: 22, top: 12, bottom: 58 };
const FONT = "16px";

/** An element with a class, properties and children. @returns {any} */
function make(/** @type {string} */ tag, name = "", properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (name) node.className = `orw-class-${name}`;
  node.append(...children);
  return node;
}

const counted = (/** @type {number} */ n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const numeral = (/** @type {number} */ n) => String(Number(n.toPrecision(4))).replace("-", "−");

/** Set a text; the same text once more costs nothing, and is not read out again. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** As many children as there are entries; each is made once and filled anew. */
function fill(parent, entries, build, update) {
  while (parent.children.length > entries.length) parent.lastElementChild.remove();
  while (parent.children.length < entries.length) parent.append(build());
  entries.forEach((entry, i) => update(parent.children[i], entry, i));
}

/** Call back when JupyterLab has changed its theme; the returned function ends it. */
function watchTheme(callback) {
  const observer = new MutationObserver(callback);
  const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  return () => observer.disconnect();
}

/** A tick's numbers: at most `most` of the conditions, the first among them. */
function someOf(/** @type {number[]} */ values, most) {
  const every = Math.ceil(values.length / most);
  return values.filter((_, i) => i % every === 0);
}

/** Straight axes: where a condition and a percentage are, in CSS pixels. */
function straight(/** @type {Curves} */ { x, log }, width, height) {
  const box = {
    left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom,
  };
  const scale = log ? Math.log : (value) => value;
  const [low, high] = [scale(x[0]), scale(x[x.length - 1])];
  const span = high - low || 1;
  const right = (value) => box.left + ((scale(value) - low) / span) * (box.right - box.left);
  const up = (percent) => box.bottom - (percent / 105) * (box.bottom - box.top);
  return { box, right, up, place: (value, percent) => [right(value), up(percent)] };
}

/** Around a circle: 0 degrees right, 90 up, the percentage outwards. */
function round(width, height) {
  const radius = Math.max(20, Math.min(width, height) / 2 - 34);
  const [cx, cy] = [width / 2, height / 2];
  const place = (degrees, percent) => {
    const angle = (degrees * Math.PI) / 180;
    const out = (percent / 100) * radius;
    return [cx + Math.cos(angle) * out, cy - Math.sin(angle) * out];
  };
  return { cx, cy, radius, place };
}

class DashboardView {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    this.removed = new AbortController();
    const { signal } = this.removed;
    this.root = make("section", "", {});
    this.root.className = "orw-class";
    this.root.dataset.lmSuppressShortcuts = "true";

    this.room = make("div", "room");
    this.count = make("div", "count");
    this.count.setAttribute("role", "status");
    this.names = this.checkbox("Hide names", "hide_names");
    this.save = make("button", "", { type: "button", textContent: "Save as CSV" });
    const controls = make("div", "controls", {}, this.names.label, this.save);
    this.trouble = make("div", "trouble");
    this.trouble.setAttribute("role", "alert");

    this.stepsTitle = make("h3");
    this.steps = make("div", "steps");
    this.steps.setAttribute("role", "img");
    this.students = make("div", "students");
    this.nobody = make("div", "empty");

    this.questions = make("select", "", {});
    this.bars = make("div", "bars");
    this.noAnswers = make("div", "empty", {
      textContent: "No answers yet. They appear here as soon as somebody answers a question.",
    });
    this.asked = make("div", "asked");
    this.answersNote = make("div", "note");
    this.predictions = make("select", "", {});
    this.truth = this.checkbox("Show the true curve", "show_truth");
    this.legend = make("div", "legend");
    this.canvas = make("canvas", "", {});
    this.canvas.setAttribute("role", "img");
    this.stage = make("div", "stage", {}, this.canvas);
    this.noCurves = make("div", "empty", {
      textContent: "No predicted curves yet. They appear here as soon as somebody commits one.",
    });
    this.curvesNote = make("div", "note");
    this.foot = make("div", "foot");

    const pick = (words, select) =>
      make("div", "pick", {}, make("label", "", {}, `${words} `), select);
    this.pickQuestion = pick("Question", this.questions);
    this.pickPrediction = pick("Prediction", this.predictions);
    this.questions.setAttribute("aria-label", "Question whose answers are shown");
    this.predictions.setAttribute("aria-label", "Prediction whose curves are shown");
    this.root.append(
      make("div", "head", {}, this.room, this.count, controls),
      this.trouble, this.stepsTitle, this.steps, this.students, this.nobody,
      make("div", "cards", {},
        make("div", "card", {}, make("h3", "", { textContent: "Answers" }),
          this.pickQuestion, this.asked, this.noAnswers, this.bars, this.answersNote),
        make("div", "card", {}, make("h3", "", { textContent: "Predicted curves" }),
          this.pickPrediction, this.noCurves, this.legend, this.stage, this.truth.label,
          this.curvesNote)),
      this.foot,
    );
    el.append(this.root);

    const on = (node, name, act) => node.addEventListener(name, act, { signal });
    on(this.save, "click", () => model.send({ event: "csv" }));
    on(this.questions, "change", () => this.set("question", this.questions.value));
    on(this.predictions, "change", () => this.set("prediction", this.predictions.value));
    this.unwatch = watchTheme(() => this.schedule());
    this.watcher = new ResizeObserver(() => this.schedule());
    this.watcher.observe(this.stage);
    this.schedule();
  }

  checkbox(words, trait) {
    const input = make("input", "", { type: "checkbox" });
    const label = make("label", "", {}, input, words);
    input.addEventListener("change", () => this.set(trait, input.checked),
      { signal: this.removed.signal });
    return { input, label, trait };
  }

  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  schedule() {
    if (this.animation || this.removed.signal.aborted) return;
    this.animation = requestAnimationFrame(() => {
      this.animation = 0;
      this.show(this.model.get("_content"));
    });
  }

  show(/** @type {Content} */ content) {
    const { students } = content;
    say(this.room, /^room\b/i.test(content.room) ? content.room : `Room ${content.room}`);
    say(this.count,
      `${counted(students.length, "student")} · ${counted(content.total, "submission")}`);
    say(this.trouble, content.trouble);
    this.trouble.hidden = !content.trouble;
    for (const { input, trait } of [this.names, this.truth]) input.checked = this.model.get(trait);
    this.save.disabled = !content.total;
    this.showSteps(content);
    this.showStudents(content);
    this.showAnswers(content);
    this.showCurves(content);
    say(this.foot, `Answers are in ${content.place}. There is no password: whoever can read `
      + "that database can open this dashboard and sees every answer.");
    this.root.dataset.version = String(content.version);
  }

  showSteps(/** @type {Content} */ { steps, tutorial }) {
    const most = Math.max(1, ...steps.map(([, n]) => n));
    say(this.stepsTitle, steps.length ? `Where the class is: steps of ${tutorial}` : "Where the class is");
    this.steps.hidden = !steps.length;
    fill(this.steps, steps,
      () => make("div", "step", {}, make("b"), make("i"), make("span")),
      (node, [title, n], i) => {
        const [number, bar, label] = node.children;
        say(number, n ? String(n) : "");
        bar.style.height = `${Math.round((68 * n) / most)}px`;
        say(label, String(i + 1));
        node.title = title;
      });
    const words = steps.map(([title, n], i) => [n, `${n} at step ${i + 1}${title ? ` (${title})` : ""}`])
      .filter(([n]) => n).map(([, text]) => text).join(", ");
    this.steps.setAttribute("aria-label", `Students at each step: ${words || "none"}`);
  }

  showStudents(/** @type {Content} */ { students, tutorial, room }) {
    this.nobody.hidden = students.length > 0;
    if (!students.length && this.nobodyFor !== room) {
      this.nobodyFor = room;
      const code = make("code", "", { textContent: `Classroom.join(${JSON.stringify(room)})` });
      this.nobody.replaceChildren("Nobody has joined yet. Students join with ", code,
        ", in a notebook that finds the same database.");
    }
    fill(this.students, students,
      () => make("div", "student", {}, make("div", "name"),
        make("div", "track", {}, make("i")), make("div", "where")),
      (node, one) => {
        const [name, track, where] = node.children;
        say(name, one.name);
        name.title = one.name;
        track.firstElementChild.style.width = one.of ? `${Math.min(100, (100 * one.step) / one.of)}%` : "0";
        const step = one.step ? `step ${one.step}${one.of ? ` of ${one.of}` : ""}` : "joined";
        const other = one.step && one.tutorial !== tutorial ? ` of ${one.tutorial}` : "";
        say(where, `${step}${other} · ${counted(one.answers, "answer")}`);
      });
  }

  options(select, pairs, chosen) {
    const known = pairs.some(([id]) => id === chosen) ? pairs : [...pairs, [chosen, 0]];
    fill(select, known.filter(([id]) => id), () => make("option"), (node, [id, n]) => {
      node.value = id;
      say(node, `${id} (${n})`);
    });
    if (select.value !== chosen) select.value = chosen;
  }

  showAnswers(/** @type {Content} */ { bars, questions, question, asked }) {
    this.noAnswers.hidden = bars.length > 0;
    this.pickQuestion.hidden = !question;
    this.options(this.questions, questions, question);
    this.asked.hidden = !asked;
    say(this.asked, asked);
    const most = Math.max(1, ...bars.map(([, n]) => n));
    fill(this.bars, bars.flatMap((bar) => [[...bar, true], [...bar, false]]),
      () => make("div"),
      (node, [label, n, correct, isLabel]) => {
        node.className = isLabel ? "orw-class-answer" : "orw-class-bar";
        if (isLabel) {
          delete node.dataset.correct;
          return say(node, label);
        }
        node.dataset.correct = String(correct);
        if (!node.firstElementChild) node.replaceChildren(make("i"), make("b"));
        node.children[0].style.width = `calc((100% - 64px) * ${n / most})`;
        say(node.children[1], `${n}${correct === true ? " ✓" : correct === false ? " ✗" : ""}`);
      });
    const judged = bars.some(([, , correct]) => correct !== null);
    say(this.answersNote, judged ? "✓ right, ✗ wrong. The last answer of each student counts." : "");
  }

  showCurves(/** @type {Content} */ { curves, predictions, prediction }) {
    this.noCurves.hidden = Boolean(curves);
    this.pickPrediction.hidden = !prediction;
    this.options(this.predictions, predictions, prediction);
    for (const node of [this.stage, this.legend, this.truth.label]) node.hidden = !curves;
    say(this.curvesNote, "");
    if (!curves) return;
    this.truth.input.disabled = !curves.measured;
    const keys = [
      ["--orw-class-student", `${counted(curves.count, "prediction")}`],
      ["--orw-text", "their mean"],
    ];
    if (curves.truth) keys.push(["--orw-class-truth", "true curve"]);
    fill(this.legend, keys, () => make("span", "key", {}, make("i"), make("span")),
      (node, [colour, words]) => {
        node.style.setProperty("--key", `var(${colour})`);
        say(node.children[1], words);
      });
    const notes = ["Each curve in percent of its largest response."];
    if (curves.kind === "polar") notes.push("0° = right, 90° = up, counter-clockwise.");
    if (!curves.measured) notes.push("Nobody has measured the true curve yet.");
    if (curves.left_out) notes.push(`${counted(curves.left_out, "prediction")} over other conditions left out.`);
    say(this.curvesNote, notes.join(" "));
    this.draw(curves);
  }

  draw(/** @type {Curves} */ curves) {
    const width = this.stage.clientWidth;
    const height = this.stage.clientHeight;
    if (width < 60) return; // not laid out yet: the observer calls again
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [text, student, truth, back] = [
      style.color, colour("--orw-class-student"), colour("--orw-class-truth"), style.backgroundColor,
    ];
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `${FONT} ${style.fontFamily}`;
    pen.lineJoin = "round";
    const polar = curves.kind === "polar";
    const frame = polar ? round(width, height) : straight(curves, width, height);
    pen.fillStyle = text;
    pen.strokeStyle = text;
    if (polar) this.roundAxes(pen, frame);
    else this.straightAxes(pen, frame, curves, width, height);

    const stroke = (values, style_, thick, alpha) => {
      pen.strokeStyle = style_;
      pen.lineWidth = thick;
      pen.globalAlpha = alpha;
      pen.beginPath();
      let down = false;
      values.forEach((percent, i) => {
        if (percent == null) down = false;
        else {
          const [px, py] = frame.place(curves.x[i], percent);
          if (down) pen.lineTo(px, py);
          else pen.moveTo(px, py);
          down = true;
        }
      });
      if (polar && values.every((percent) => percent != null)) pen.closePath();
      pen.stroke();
      pen.globalAlpha = 1;
    };
    const alpha = Math.max(0.2, Math.min(0.8, 12 / curves.lines.length));
    for (const line of curves.lines) stroke(line, student, 2.2, alpha);
    stroke(curves.mean, back, 7, 0.8);
    stroke(curves.mean, text, 3.5, 1);
    if (curves.truth) {
      stroke(curves.truth, back, 8, 0.8);
      stroke(curves.truth, truth, 4.5, 1);
    }
    if (polar) this.ringLabels(pen, frame, text, back);
    canvas.setAttribute("aria-label", this.inWords(curves));
  }

  inWords(/** @type {Curves} */ { x, label, count, mean, truth }) {
    const best = (values) => {
      const known = values.map((value, i) => [value ?? -1, i]);
      return numeral(x[known.reduce((a, b) => (b[0] > a[0] ? b : a))[1]]);
    };
    const parts = [`${counted(count, "predicted curve")} against ${label || "the condition"}`];
    parts.push(`their mean is largest at ${best(mean)}`);
    if (truth) parts.push(`the true curve at ${best(truth)}`);
    return `${parts.join("; ")}.`;
  }

  straightAxes(pen, { box, right, up }, /** @type {Curves} */ { x, label }, width, height) {
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const percent of [0, 25, 50, 75, 100]) {
      pen.globalAlpha = percent ? 0.18 : 0.8;
      pen.beginPath();
      pen.moveTo(box.left, up(percent));
      pen.lineTo(box.right, up(percent));
      pen.stroke();
      pen.globalAlpha = 1;
      if (percent % 50 === 0) pen.fillText(String(percent), box.left - 8, up(percent));
    }
    pen.textAlign = "center";
    pen.textBaseline = "top";
    let end = -Infinity;
    for (const value of someOf(x, 9)) {
      const half = pen.measureText(numeral(value)).width / 2;
      if (right(value) - half < end + 6) continue;
      end = right(value) + half;
      pen.fillText(numeral(value), right(value), box.bottom + 8);
    }
    pen.textBaseline = "alphabetic";
    pen.fillText(label, (box.left + box.right) / 2, height - 8, width - 10);
    pen.save();
    pen.translate(16, (box.top + box.bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText("response (% of largest)", 0, 0, box.bottom - box.top + 10);
    pen.restore();
  }

  roundAxes(pen, { cx, cy, radius, place }) {
    pen.lineWidth = 1;
    pen.globalAlpha = 0.22;
    for (const percent of [50, 100]) {
      pen.beginPath();
      pen.arc(cx, cy, (percent / 100) * radius, 0, 2 * Math.PI);
      pen.stroke();
    }
    for (let degrees = 0; degrees < 360; degrees += 45) {
      pen.globalAlpha = 0.22;
      pen.beginPath();
      pen.moveTo(cx, cy);
      pen.lineTo(...place(degrees, 100));
      pen.stroke();
      pen.globalAlpha = 1;
      const dx = Math.cos((degrees * Math.PI) / 180);
      pen.textAlign = Math.abs(dx) < 0.1 ? "center" : dx > 0 ? "left" : "right";
      pen.textBaseline = "middle";
      const [px, py] = place(degrees, 100);
      const [ux, uy] = [(px - cx) / radius, (py - cy) / radius];
      pen.fillText(`${degrees}°`, px + 8 * ux, py + 13 * uy);
    }
    pen.globalAlpha = 1;
  }

  /** Percentages of the rings, on top of the curves so that they stay readable. */
  ringLabels(pen, { place }, text, back) {
    pen.font = pen.font.replace(FONT, "14px");
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 4;
    pen.strokeStyle = back;
    pen.fillStyle = text;
    for (const percent of [50, 100]) {
      const [px, py] = place(-67.5, percent);
      pen.strokeText(`${percent} %`, px, py);
      pen.fillText(`${percent} %`, px, py);
    }
  }

  /** Have the browser save a file; nothing leaves the machine. */
  download({ name, text }) {
    const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
    const link = make("a", "", { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  remove() {
    if (this.removed.signal.aborted) return;
    this.removed.abort();
    this.watcher.disconnect();
    this.unwatch();
    cancelAnimationFrame(this.animation);
    this.canvas.width = this.canvas.height = 0;
    this.root.remove();
  }
}

function render({ model, el, signal }) {
  const view = new DashboardView(model, el);
  const names = ["_content", "question", "prediction", "hide_names", "show_truth"]
    .map((name) => `change:${name}`);
  const ask = () => view.schedule();
  const hear = (content) => {
    if (content?.event === "csv") view.download(content);
  };
  for (const name of names) model.on(name, ask);
  model.on("msg:custom", hear);
  const remove = () => {
    for (const name of names) model.off(name, ask);
    model.off("msg:custom", hear);
    view.remove();
  };
  signal?.addEventListener("abort", remove, { once: true });
  return remove;
}

export default { render };
