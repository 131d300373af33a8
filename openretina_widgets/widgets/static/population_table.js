// A table of neurons. Only the rows in sight are in the page, whatever their number. Everything is
// set as text: nothing is read as markup. The functions not defined here are in population_rows.js
// and canvas.js, whose texts come before this one.

const ROW = 28; // CSS pixels, as in population_table.css
const SPARE = 6; // rows drawn above and below those in sight
const CHARACTER = 7.6; // CSS pixels, about
const NARROWEST = 84;
const WIDEST_TEXT = 250;
const VIEW_KEYS = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp",
  "PageDown", " ", "Enter", "a"];
let tables = 0; // so that the ids of two tables on a page differ

const make = (tag, name = "", properties = {}, ...children) =>
  makeElement(tag, name && `orw-table-${name}`, properties, ...children);

/** Width of a column, from its longest text and the longest word of its head. */
function widthOf(/** @type {Column} */ column) {
  const word = Math.max(...labelOf(column).split(" ").map((text) => text.length));
  if (column.kind === "text") {
    const longest = Math.max(word, ...column.names.map((text) => text.length));
    return Math.min(WIDEST_TEXT, CHARACTER * longest + 44);
  }
  return Math.max(NARROWEST, CHARACTER * word + 42);
}

/** The rows listed, in their order. */
function listed(/** @type {Model} */ model, /** @type {Rows} */ rows) {
  const shown = shownOf(model);
  const order = [];
  for (let row = 0; row < rows.count; row++) {
    if (!shown || shown.has(rows.neurons[row])) order.push(row);
  }
  const column = rows.columns.find(({ name }) => name === model.get("sort_by"));
  if (!column) return order;
  const sign = model.get("descending") ? -1 : 1;
  if (column.kind === "text") {
    const text = (row) => column.names[codeAt(rows, column, row)];
    const { compare } = new Intl.Collator("en", { numeric: true });
    return order.sort((a, b) => sign * compare(text(a), text(b)) || a - b);
  }
  return order.sort((a, b) => {
    const [first, second] = [numberAt(rows, column, a), numberAt(rows, column, b)];
    if (Number.isNaN(first) || Number.isNaN(second)) {
      return Number(Number.isNaN(first)) - Number(Number.isNaN(second)) || a - b;
    }
    return sign * (first - second) || a - b;
  });
}

/** @param {{model: Model, el: HTMLElement}} view */
function render({ model, el }) {
  const id = `orw-table-${++tables}`;
  let rows = rowsOf(model.get("_content"));
  let order = [];
  let active = 0; // place in the order that the keyboard is at
  let anchor = 0; // where a range with Shift starts
  let column = 0; // that Enter sorts by
  let widths = [];
  let heads = [];

  const head = make("div", "head", { role: "row" });
  const body = make("div", "body");
  const empty = make("div", "empty");
  const grid = make("div", "grid", { tabIndex: 0 }, head, body, empty);
  const foot = make("div", "foot");
  foot.setAttribute("role", "status");
  grid.setAttribute("role", "grid");
  grid.setAttribute("aria-multiselectable", "true");
  el.classList.add("orw-table");
  el.append(grid, foot);

  const neuronAt = (place) => rows.neurons[order[place]];

  function drawHead() {
    widths = rows.columns.map(widthOf);
    const tracks = widths.map((width) => `${Math.round(width)}px`).join(" ");
    el.style.setProperty("--columns", tracks);
    el.style.setProperty("--first", `${Math.round(widths[0] ?? 0)}px`);
    heads = rows.columns.map((one, i) => {
      const sorted = make("span", "sorted");
      sorted.setAttribute("aria-hidden", "true");
      const label = make("span", "label", { textContent: one.title.replace("–", "\u2060–\u2060") });
      if (one.unit) label.append(make("span", "unit", { textContent: ` (${one.unit})` }));
      const cell = make("div", one.kind, { title: `${one.meaning}\n“${one.name}” in a query` });
      cell.append(label, sorted);
      cell.setAttribute("role", "columnheader");
      cell.dataset.column = String(i);
      return cell;
    });
    head.replaceChildren(...heads);
    grid.setAttribute("aria-colcount", String(heads.length));
  }

  /** A row of the page: cells that are filled anew when the row shows another neuron. */
  function makeRow() {
    const cells = rows.columns.map(({ kind }) => {
      const cell = make("div", kind);
      cell.setAttribute("role", "gridcell");
      return cell;
    });
    const row = make("div", "row", {}, ...cells);
    row.setAttribute("role", "row");
    return row;
  }

  function fillRow(row, place, selected) {
    const at = order[place];
    const neuron = rows.neurons[at];
    row.style.transform = `translateY(${place * ROW}px)`;
    row.dataset.place = String(place);
    row.id = `${id}-${neuron}`;
    row.setAttribute("aria-rowindex", String(place + 2));
    row.setAttribute("aria-selected", String(selected.has(neuron)));
    row.classList.toggle("orw-table-lead", selected.get(neuron) === 0);
    row.classList.toggle("orw-table-active", place === active);
    rows.columns.forEach((one, i) => {
      const cell = row.children[i];
      const [text, why] = cellOf(rows, one, at);
      const chip = one.styles && one.name.endsWith("type") && text !== "–";
      const shown = chip ? [chipOf(one.styles[codeAt(rows, one, at)]), text] : [text];
      cell.replaceChildren(...shown);
      cell.title = why || (one.kind === "text" && text.length * CHARACTER > widths[i] - 34 ? text : "");
      cell.classList.toggle("orw-table-undefined", text === "–");
    });
  }

  function drawRows() {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - SPARE);
    const last = Math.min(order.length, Math.ceil((grid.scrollTop + grid.clientHeight) / ROW) + SPARE);
    const n = Math.max(0, last - first);
    while (body.children.length > n) body.lastElementChild.remove();
    while (body.children.length < n) body.append(makeRow());
    const selected = new Map(model.get("selected").map((neuron, i) => [neuron, i]));
    for (let i = 0; i < n; i++) fillRow(body.children[i], first + i, selected);
    if (order.length) grid.setAttribute("aria-activedescendant", `${id}-${neuronAt(active)}`);
    else grid.removeAttribute("aria-activedescendant");
  }

  function drawSort() {
    const by = model.get("sort_by");
    heads.forEach((cell, i) => {
      const sorted = rows.columns[i].name === by;
      const up = !model.get("descending");
      cell.setAttribute("aria-sort", !sorted ? "none" : up ? "ascending" : "descending");
      cell.classList.toggle("orw-table-active", i === column);
      say(cell.lastElementChild, !sorted ? "" : up ? "▲" : "▼");
    });
  }

  function drawFoot() {
    const here = new Set(order.map((row) => rows.neurons[row]));
    const selected = model.get("selected").filter((neuron) => rows.rowOf.has(neuron));
    const hidden = selected.filter((neuron) => !here.has(neuron)).length;
    const of = order.length === rows.count ? "" : ` of ${rows.count}`;
    const listing = `${order.length}${of} neuron${rows.count === 1 ? "" : "s"}`;
    const out = hidden ? `, ${hidden} of them not listed` : "";
    say(foot, rows.count ? `${listing} · ${selected.length} selected${out}` : "");
    grid.setAttribute("aria-label", `Table of ${listing}, ${selected.length} selected${out}`);
  }

  /** Lay out what changed; the place of the keyboard stays with its neuron. */
  function list() {
    const at = order.length ? neuronAt(active) : undefined;
    order = listed(model, rows);
    const place = order.findIndex((row) => rows.neurons[row] === at);
    active = anchor = Math.max(0, place);
    body.style.height = `${order.length * ROW}px`;
    grid.setAttribute("aria-rowcount", String(order.length + 1));
    const words = rows.count ? "No neuron meets the query: change it to see more."
      : model.get("placeholder");
    say(empty, order.length ? "" : words);
    empty.hidden = order.length > 0;
    drawSort();
    drawRows();
    drawFoot();
  }

  function reveal(place) {
    const top = place * ROW;
    const height = grid.clientHeight - head.offsetHeight;
    if (top < grid.scrollTop) grid.scrollTop = top;
    else if (top + ROW > grid.scrollTop + height) grid.scrollTop = top + ROW - height;
  }

  function sortBy(i) {
    const { name, kind } = rows.columns[i];
    const again = model.get("sort_by") === name;
    column = i;
    model.set("descending", again ? !model.get("descending") : kind === "number" && i > 0);
    model.set("sort_by", name);
    model.save_changes();
    grid.scrollTop = 0;
  }

  const between = (a, b) => order.slice(Math.min(a, b), Math.max(a, b) + 1)
    .map((row) => rows.neurons[row]);

  function choose(place, { range = false, add = false } = {}) {
    active = place;
    if (!range) anchor = place;
    const lead = neuronAt(anchor);
    const more = range ? between(anchor, place) : [lead];
    if (add && !range) select(model, joined(model.get("selected"), more));
    else select(model, [lead, ...more.filter((neuron) => neuron !== lead)]);
    drawRows();
  }

  function clicked(event) {
    const cell = event.target.closest("[data-column]");
    if (cell) return sortBy(Number(cell.dataset.column));
    const row = event.target.closest("[data-place]");
    if (!row) return;
    choose(Number(row.dataset.place), { range: event.shiftKey, add: event.ctrlKey || event.metaKey });
  }

  function goTo(place, event) {
    const to = Math.min(order.length - 1, Math.max(0, place));
    if (event.ctrlKey || event.metaKey) active = to;
    else choose(to, { range: event.shiftKey });
    reveal(to);
    drawRows();
  }

  function pressed(event) {
    if (!VIEW_KEYS.includes(event.key) || !order.length) return;
    const page = Math.max(1, Math.floor(grid.clientHeight / ROW) - 2);
    const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page };
    if (event.key === "a" && !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.stopPropagation(); // or the notebook takes the key for one of its own
    if (event.key in steps) goTo(active + steps[event.key], event);
    else if (event.key === "Home") goTo(0, event);
    else if (event.key === "End") goTo(order.length - 1, event);
    else if (event.key === " ") choose(active, { add: true });
    else if (event.key === "Enter") sortBy(column);
    else if (event.key === "a") select(model, between(0, order.length - 1));
    else {
      column = (column + (event.key === "ArrowLeft" ? -1 : 1) + heads.length) % heads.length;
      drawSort();
      heads[column].scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  function contentChanged() {
    const before = JSON.stringify(rows.columns.map(({ name, unit, names }) => [name, unit, names]));
    rows = rowsOf(model.get("_content"));
    const now = JSON.stringify(rows.columns.map(({ name, unit, names }) => [name, unit, names]));
    if (before !== now) {
      body.replaceChildren();
      column = Math.min(column, Math.max(0, rows.columns.length - 1));
      drawHead();
    }
    list();
  }

  /** What another widget selected comes into sight. */
  function selectionChanged() {
    const [lead] = model.get("selected");
    const place = order.findIndex((row) => rows.neurons[row] === lead);
    const mine = order.length && neuronAt(active) === lead;
    if (place >= 0 && !mine && !el.contains(document.activeElement)) {
      active = anchor = place;
      reveal(place);
    }
    drawRows();
    drawFoot();
  }

  const scrolled = paced(drawRows);
  const relist = paced(list);
  const resized = () => { grid.style.height = `${model.get("height")}px`; drawRows(); };
  const events = {
    "change:_content": contentChanged,
    "change:_shown": relist.ask,
    "change:sort_by": relist.ask,
    "change:descending": relist.ask,
    "change:placeholder": relist.ask,
    "change:selected": selectionChanged,
    "change:height": resized,
  };
  grid.addEventListener("click", clicked);
  grid.addEventListener("keydown", pressed);
  grid.addEventListener("scroll", scrolled.ask, { passive: true });
  const observer = new ResizeObserver(scrolled.ask); // a hidden tab has no height until opened
  observer.observe(grid);
  const stopListening = listen(model, events);
  drawHead();
  resized();
  list();
  return () => {
    observer.disconnect();
    scrolled.stop();
    relist.stop();
    stopListening();
    el.replaceChildren();
  };
}

export default { render };
