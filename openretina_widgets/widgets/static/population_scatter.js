// Neurons as points over any two columns. Points are painted on a canvas, axes are SVG and follow
// the theme. Everything from Python is set as text: nothing is read as markup. The functions not
// defined here are in population_rows.js and canvas.js, whose texts come before this one.

const MARGIN = { left: 72, right: 14, top: 10, bottom: 52 };
const RADIUS = 5.5; // of a point, CSS pixels
const REACH = 12; // CSS pixels from a point at which it is hit
const DRAG = 4; // CSS pixels from which a press is a drag
const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };
const SVG = "http://www.w3.org/2000/svg";

const make = (tag, name = "", properties = {}, ...children) =>
  makeElement(tag, name && `orw-scatter-${name}`, properties, ...children);

/** An element of an SVG picture. */
function draw(tag, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (text) node.textContent = text;
  return node;
}

/** Round numbers that span the values, at most `most` of them. @returns {number[]} */
function roundTicks(/** @type {number} */ low, /** @type {number} */ high, most = 7) {
  if (!(high > low)) {
    const margin = Math.abs(low) / 2 || 1;
    [low, high] = [low - margin, low + margin];
  }
  const power = 10 ** Math.floor(Math.log10((high - low) / (most - 1)));
  for (const factor of [1, 2, 5, 10, 20]) {
    const step = power * factor;
    const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
    if (last - first < most) {
      return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
    }
  }
  return [low, high];
}

/** The path of a shape around a point. */
function trace(context, shape, x, y, r) {
  context.beginPath();
  if (shape === "square") context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
  else if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
  else {
    const corners = shape === "triangle" ? [[0, -1.15], [1.05, 0.8], [-1.05, 0.8]]
      : [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]];
    corners.forEach(([dx, dy], i) => context[i ? "lineTo" : "moveTo"](x + r * dx, y + r * dy));
    context.closePath();
  }
}

/** Whether a point is inside a polygon (even-odd rule). */
function inside(/** @type {[number, number][]} */ polygon, x, y) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** A labelled choice of columns. */
function makeChoice(label, name) {
  const choice = make("select", "choice");
  choice.dataset.axis = name;
  return { choice, node: make("label", "", {}, label, choice) };
}

/** @param {{model: Model, el: HTMLElement}} view */
function render({ model, el }) {
  let rows = rowsOf(model.get("_content"));
  let size = { width: 0, height: 0 };
  let points = { x: new Float32Array(0), y: new Float32Array(0) }; // CSS pixels, NaN where undefined
  let hovered = -1; // row
  let drag = null; // {x, y, path, more}
  let tool = "lasso";

  const choices = [makeChoice("x", "x"), makeChoice("y", "y"), makeChoice("colour", "colour")];
  const tools = ["lasso", "rectangle"].map((name) => {
    const button = make("button", "tool", { type: "button", textContent: name,
      title: `Drag to select those inside a ${name}; Shift or Ctrl adds to them` });
    button.dataset.tool = name;
    return button;
  });
  const toolbox = make("div", "tools", {}, "drag", ...tools);
  toolbox.setAttribute("role", "group");
  toolbox.setAttribute("aria-label", "what a drag selects");
  const bar = make("div", "bar", {}, ...choices.map(({ node }) => node), toolbox);
  const axes = draw("svg", { "aria-hidden": "true" });
  const canvas = makeElement("canvas");
  const outline = draw("svg", { class: "orw-scatter-outline", "aria-hidden": "true" });
  const shape = draw("path");
  const tip = make("div", "tip", { hidden: true });
  const empty = make("div", "empty");
  const plot = make("div", "plot", { tabIndex: 0 }, axes, canvas, outline, tip, empty);
  const legend = make("div", "legend");
  const foot = make("div", "foot");
  const live = make("div", "said");
  live.setAttribute("aria-live", "polite");
  legend.setAttribute("role", "group");
  legend.setAttribute("aria-label", "types: press one to select its neurons");
  canvas.setAttribute("role", "img");
  plot.setAttribute("role", "application");
  outline.append(shape);
  el.classList.add("orw-scatter");
  el.append(bar, make("div", "stage", {}, plot, legend), foot, live);

  const columnOf = (axis) => rows.columns.find(({ name }) => name === model.get(axis));

  function drawChoices() {
    for (const { choice } of choices) {
      const axis = choice.dataset.axis;
      const kind = axis === "colour" ? "text" : "number";
      const fitting = rows.columns.filter((column) => column.kind === kind);
      const options = fitting.map((column) =>
        makeElement("option", "", { value: column.name, textContent: labelOf(column) }));
      choice.replaceChildren(...options);
      choice.value = model.get(axis);
      choice.disabled = !fitting.length;
    }
    for (const button of tools) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
  }

  function drawLegend() {
    const column = columnOf("colour");
    const counts = new Map();
    if (column) {
      for (let row = 0; row < rows.count; row++) {
        const code = codeAt(rows, column, row);
        counts.set(code, (counts.get(code) ?? 0) + 1);
      }
    }
    const entries = [...counts].map(([code, count]) => {
      const name = make("span", "name", { textContent: column.names[code] || "not known" });
      const entry = make("button", "entry", { type: "button" }, chipOf(column.styles[code]), name,
        make("span", "count", { textContent: String(count) }));
      entry.title = `${name.textContent}: press to select, with Shift or Ctrl to add`;
      entry.dataset.code = String(code);
      return entry;
    });
    const had = legend.contains(document.activeElement) ? document.activeElement.dataset.code : null;
    legend.replaceChildren(...entries);
    if (had !== null) legend.querySelector(`[data-code="${Number(had)}"]`)?.focus();
    legend.hidden = !entries.length;
  }

  /** Where the points are and the axes; with every change of columns, rows or size. */
  function place() {
    const [across, up] = [columnOf("x"), columnOf("y")];
    const ready = across && up && rows.count > 0 && size.width > 0;
    empty.hidden = rows.count > 0;
    say(empty, rows.count ? "" : model.get("placeholder"));
    axes.replaceChildren();
    points = { x: new Float32Array(rows.count).fill(NaN), y: new Float32Array(rows.count).fill(NaN) };
    if (ready) {
      const right = size.width - MARGIN.right;
      const bottom = size.height - MARGIN.bottom;
      placeAxis(across, points.x, MARGIN.left, right, false);
      placeAxis(up, points.y, bottom, MARGIN.top, true);
      for (let row = 0; row < rows.count; row++) {
        if (Number.isNaN(points.x[row] + points.y[row])) points.x[row] = points.y[row] = NaN;
      }
    }
    const absent = ready ? points.x.filter(Number.isNaN).length : 0;
    say(foot, absent ? `${counted(absent, "neuron")} not shown: undefined on an axis` : "");
    describe();
    paint();
  }

  function placeAxis(column, positions, start, stop, upright) {
    let [low, high] = [Infinity, -Infinity];
    for (let row = 0; row < rows.count; row++) {
      const value = numberAt(rows, column, row);
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    if (low > high) [low, high] = [0, 1];
    const least = 10 ** (1 - Math.min(2, column.digits)); // what is less is a difference that nobody reads
    if (high - low < least) {
      const middle = (low + high) / 2;
      low = low >= 0 && middle < least / 2 ? 0 : middle - least / 2;
      high = low + least;
    }
    const ticks = roundTicks(low, high);
    const pad = 9; // a point on the edge stays whole
    const [from, to] = start < stop ? [start + pad, stop - pad] : [start - pad, stop + pad];
    const scale = (to - from) / (ticks[ticks.length - 1] - ticks[0]);
    const at = (value) => from + (value - ticks[0]) * scale;
    for (let row = 0; row < rows.count; row++) {
      const value = numberAt(rows, column, row);
      positions[row] = Number.isFinite(value) ? at(value) : NaN;
    }
    const [left, right] = [MARGIN.left, size.width - MARGIN.right];
    const [top, bottom] = [MARGIN.top, size.height - MARGIN.bottom];
    const every = ticks[1] - ticks[0];
    const digits = Math.max(0, -Math.floor(Math.log10(every) + 1e-9));
    for (const tick of ticks) {
      const text = figure(tick, Math.min(8, digits));
      const p = Math.round(at(tick)) + 0.5;
      const zero = tick === 0 ? "orw-scatter-zero" : "orw-scatter-rule";
      axes.append(upright
        ? draw("line", { x1: left, x2: right, y1: p, y2: p, class: zero })
        : draw("line", { x1: p, x2: p, y1: top, y2: bottom, class: zero }));
      axes.append(upright
        ? draw("text", { x: left - 8, y: p + 4, "text-anchor": "end" }, text)
        : draw("text", { x: p, y: bottom + 18, "text-anchor": "middle" }, text));
    }
    const middle = (start + stop) / 2;
    axes.append(upright
      ? draw("text", { transform: `translate(17 ${middle}) rotate(-90)`, "text-anchor": "middle",
        class: "orw-scatter-label" }, labelOf(column))
      : draw("text", { x: middle, y: bottom + 42, "text-anchor": "middle",
        class: "orw-scatter-label" }, labelOf(column)));
    if (upright) return;
    axes.append(draw("rect", { x: left + 0.5, y: top + 0.5, width: right - left, height: bottom - top,
      class: "orw-scatter-frame" }));
  }

  const seen = (row) => !Number.isNaN(points.x[row]);

  function paint() {
    const density = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(size.width * density), Math.round(size.height * density)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    const column = columnOf("colour");
    const shown = shownOf(model);
    const selected = new Map(model.get("selected").map((neuron, i) => [neuron, i]));
    const bright = (row) => !shown || shown.has(rows.neurons[row]);
    const point = (row, ring) => {
      const [colour, form] = column ? column.styles[codeAt(rows, column, row)] : ["#8c8c8c", "circle"];
      const [x, y] = [points.x[row], points.y[row]];
      if (ring) { // white in black: seen on every ground
        for (const [wide, line] of [[6, "#fff"], [2.5, "#111"]]) {
          context.beginPath();
          context.arc(x, y, RADIUS + 4, 0, 2 * Math.PI);
          Object.assign(context, { lineWidth: wide, strokeStyle: line });
          context.stroke();
        }
      }
      trace(context, form, x, y, row === hovered ? RADIUS + 1.5 : RADIUS);
      context.globalAlpha = bright(row) ? 0.92 : 0.16;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = bright(row) ? 1 : 0.16;
      Object.assign(context, { lineWidth: 1, strokeStyle: "rgba(255, 255, 255, 0.75)" });
      context.stroke();
      context.globalAlpha = 1;
    };
    const order = Array.from({ length: rows.count }, (_, row) => row).filter(seen);
    const rank = (row) => (selected.has(rows.neurons[row]) ? 2 : 0) + (bright(row) ? 1 : 0);
    order.sort((a, b) => rank(a) - rank(b));
    for (const row of order) point(row, selected.has(rows.neurons[row]));
    if (hovered >= 0 && seen(hovered)) point(hovered, selected.has(rows.neurons[hovered]));
  }

  function describe() {
    const [across, up] = [columnOf("x"), columnOf("y")];
    const selected = model.get("selected").filter((neuron) => rows.rowOf.has(neuron)).length;
    const words = across && up && rows.count
      ? `${labelOf(up)} against ${labelOf(across)} of ${counted(rows.count, "neuron")}, ${selected} selected`
      : model.get("placeholder");
    canvas.setAttribute("aria-label", words);
    plot.setAttribute("aria-label", `${words}. Arrow keys go from neuron to neuron, Enter selects.`);
  }

  // ---- pointer

  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function nearest(x, y) {
    let [best, least] = [-1, REACH ** 2];
    for (let row = 0; row < rows.count; row++) {
      const distance = (points.x[row] - x) ** 2 + (points.y[row] - y) ** 2;
      if (distance <= least) [best, least] = [row, distance];
    }
    return best;
  }

  /** Point at a neuron; -1 for none. Read aloud when the keyboard did it. */
  function hover(row, aloud = false) {
    if (row !== hovered) {
      hovered = row;
      paint();
    }
    tip.hidden = row < 0 || !seen(row);
    canvas.style.cursor = row >= 0 ? "pointer" : "crosshair";
    if (tip.hidden) return;
    const [across, up] = [columnOf("x"), columnOf("y")];
    const lines = [across, up].map((column) => `${labelOf(column)}: ${cellOf(rows, column, row)[0]}`);
    const suggested = rows.columns.find(({ name }) => name === "suggested_type");
    const text = suggested ? cellOf(rows, suggested, row)[0] : "–";
    if (text !== "–") lines.push(`suggested: ${text}`);
    tip.replaceChildren(make("b", "", { textContent: nameOf(rows, row) }),
      ...lines.map((line) => make("div", "", { textContent: line })));
    const left = points.x[row] > size.width / 2;
    tip.style.left = left ? "" : `${points.x[row] + 14}px`;
    tip.style.right = left ? `${size.width - points.x[row] + 14}px` : "";
    tip.style.top = `${Math.min(points.y[row] + 10, size.height - 100)}px`;
    if (aloud) say(live, `${nameOf(rows, row)}; ${lines.join("; ")}`);
  }

  function choose(neurons, more) {
    if (neurons.length) select(model, more ? joined(model.get("selected"), neurons) : neurons);
  }

  function pressed(event) {
    if (event.button !== 0) return;
    const [x, y] = placeOf(event);
    drag = { x, y, path: [[x, y]], moved: false, more: event.shiftKey || event.ctrlKey || event.metaKey };
    canvas.setPointerCapture(event.pointerId);
  }

  function moved(event) {
    const [x, y] = placeOf(event);
    if (!drag) return hover(nearest(x, y));
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) >= DRAG;
    if (!drag.moved) return;
    hover(-1);
    drag.path = tool === "lasso" ? [...drag.path, [x, y]]
      : [[drag.x, drag.y], [x, drag.y], [x, y], [drag.x, y]];
    shape.setAttribute("d", `M${drag.path.map((p) => p.join(" ")).join("L")}Z`);
  }

  function released(event) {
    if (!drag) return;
    const { path, moved: dragged, more } = drag;
    endDrag();
    if (!dragged) {
      const row = nearest(...placeOf(event));
      if (row >= 0) choose([rows.neurons[row]], more);
      return;
    }
    const shown = shownOf(model);
    const found = [];
    for (let row = 0; row < rows.count; row++) {
      const neuron = rows.neurons[row];
      if ((!shown || shown.has(neuron)) && seen(row) && inside(path, points.x[row], points.y[row])) {
        found.push(neuron);
      }
    }
    choose(found, more);
  }

  function endDrag() {
    drag = null;
    shape.setAttribute("d", "");
  }

  // ---- keyboard

  function keyPressed(event) {
    if (event.key === "Escape") { endDrag(); return hover(-1); }
    const move = KEYS[event.key];
    const enters = event.key === "Enter" || event.key === " ";
    if (!move && !enters) return;
    event.preventDefault();
    event.stopPropagation(); // or the notebook takes the key for one of its own
    const lead = rows.rowOf.get(model.get("selected")[0]) ?? -1;
    const from = hovered >= 0 ? hovered : lead;
    if (enters) {
      if (from >= 0) choose([rows.neurons[from]], event.shiftKey || event.ctrlKey || event.metaKey);
      return;
    }
    const [axis, sign] = move;
    const along = axis ? points.y : points.x;
    const order = Array.from({ length: rows.count }, (_, row) => row).filter(seen)
      .sort((a, b) => (axis ? -1 : 1) * (along[a] - along[b]) || a - b);
    const at = order.indexOf(from);
    const to = at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + sign));
    if (order.length) hover(order[to], true);
  }

  // ---- changes

  function contentChanged() {
    rows = rowsOf(model.get("_content"));
    hovered = -1;
    tip.hidden = true;
    drawChoices();
    drawLegend();
    place();
  }

  function legendClicked(event) {
    const entry = event.target.closest("[data-code]");
    const column = columnOf("colour");
    if (!entry || !column) return;
    const of = Array.from(rows.neurons.keys())
      .filter((row) => codeAt(rows, column, row) === Number(entry.dataset.code));
    choose(of.map((row) => rows.neurons[row]), event.shiftKey || event.ctrlKey || event.metaKey);
  }

  function chosen(event) {
    const { axis } = event.target.dataset;
    model.set(axis, event.target.value);
    model.save_changes();
  }

  function toolChosen(event) {
    tool = event.target.closest("[data-tool]")?.dataset.tool ?? tool;
    drawChoices();
  }

  const resize = paced(() => {
    plot.style.height = `${model.get("height")}px`;
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    if (width === size.width && height === size.height) return;
    size = { width, height };
    for (const svg of [axes, outline]) svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    place();
  });
  const repaint = paced(() => { describe(); paint(); });
  const replace = paced(() => { drawChoices(); drawLegend(); place(); });
  const events = {
    "change:_content": contentChanged,
    "change:_shown": repaint.ask,
    "change:selected": repaint.ask,
    "change:x": replace.ask,
    "change:y": replace.ask,
    "change:colour": replace.ask,
    "change:placeholder": replace.ask,
    "change:height": resize.ask,
  };
  canvas.addEventListener("pointerdown", pressed);
  canvas.addEventListener("pointermove", moved);
  canvas.addEventListener("pointerup", released);
  canvas.addEventListener("pointercancel", endDrag);
  canvas.addEventListener("pointerleave", () => { if (!drag) hover(-1); });
  plot.addEventListener("keydown", keyPressed);
  plot.addEventListener("blur", () => hover(-1));
  legend.addEventListener("click", legendClicked);
  toolbox.addEventListener("click", toolChosen);
  for (const { choice } of choices) choice.addEventListener("change", chosen);
  const stopListening = listen(model, events);
  const observer = new ResizeObserver(resize.ask);
  plot.style.height = `${model.get("height")}px`;
  observer.observe(plot);
  contentChanged();
  return () => {
    observer.disconnect();
    for (const { stop } of [resize, repaint, replace]) stop();
    stopListening();
    Object.assign(canvas, { width: 0, height: 0 });
    el.replaceChildren();
  };
}

export default { render };
