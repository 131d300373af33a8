// What the table and the scatter of neurons share. Not a module: the text follows that of canvas.js
// and comes before that of the module that uses it, so that each stays self-contained.

/**
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function}} Model
 * @typedef {{name: string, title: string, unit: string, meaning: string, kind: "number" | "text",
 *   period: number, at: number, digits: number, names?: string[], styles?: [string, string][]}} Column
 * @typedef {{count: number, columns: Column[], reasons: string[], neurons: Int32Array,
 *   numbers: Float32Array, codes: Uint16Array, why: Uint16Array, rowOf: Map<number, number>}} Rows
 */

/** A typed array of what a DataView shows; copied, since it may start at any byte. */
function arrayOf(Kind, /** @type {DataView | undefined} */ view) {
  if (!view) return new Kind(0);
  return new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** @returns {Rows} */
function rowsOf(/** @type {any} */ content) {
  const neurons = arrayOf(Int32Array, content.neurons);
  const count = content.count ?? 0;
  const numbers = arrayOf(Float32Array, content.numbers);
  const columns = (content.columns ?? []).map((column) => {
    const values = column.kind === "number" && column.name !== "neuron"
      ? numbers.subarray(column.at * count, (column.at + 1) * count) : [];
    return { ...column, digits: digitsOf(values) };
  });
  return {
    count,
    columns,
    reasons: content.reasons ?? [""],
    neurons,
    numbers,
    codes: arrayOf(Uint16Array, content.codes),
    why: arrayOf(Uint16Array, content.why),
    rowOf: new Map(Array.from(neurons, (neuron, row) => [neuron, row])),
  };
}

/** The number in a cell of a column of numbers. */
function numberAt(/** @type {Rows} */ rows, /** @type {Column} */ column, /** @type {number} */ row) {
  if (column.name === "neuron") return rows.neurons[row];
  return rows.numbers[column.at * rows.count + row];
}

/** The index of the text in a cell of a column of texts. */
function codeAt(/** @type {Rows} */ rows, /** @type {Column} */ column, /** @type {number} */ row) {
  return rows.codes[column.at * rows.count + row];
}

/** The text of a cell, and why there is none. @returns {[string, string]} */
function cellOf(/** @type {Rows} */ rows, /** @type {Column} */ column, /** @type {number} */ row) {
  if (column.kind === "text") return [column.names[codeAt(rows, column, row)] || "–", ""];
  const number = numberAt(rows, column, row);
  if (column.name === "neuron") return [String(number), ""];
  if (Number.isNaN(number)) return ["–", rows.reasons[rows.why[column.at * rows.count + row]]];
  const text = figure(number, column.digits);
  return [column.period && Number(text) === column.period ? "0" : text, ""]; // a whole turn
}

/** Digits after the point that the numbers of a column deserve: about three that count. */
function digitsOf(/** @type {ArrayLike<number>} */ values) {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (size > largest && Number.isFinite(size)) largest = size;
  }
  if (!largest) return 2;
  const power = Math.log10(largest);
  return largest < 0.1 ? Math.min(8, 2 - Math.ceil(power)) : Math.min(2, Math.max(0, 2 - Math.floor(power)));
}

function figure(/** @type {number} */ number, digits = 2) {
  const text = Math.abs(number) < 1e7 ? number.toFixed(digits) : number.toExponential(2);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

const labelOf = (/** @type {Column} */ { title, unit }) => (unit ? `${title} (${unit})` : title);

/** What a neuron is called: its number and what is known of its type. */
function nameOf(/** @type {Rows} */ rows, /** @type {number} */ row) {
  const types = rows.columns.find(({ name }) => name === "cell_type");
  const type = types ? types.names[codeAt(rows, types, row)] : "";
  return type ? `${rows.neurons[row]} · ${type}` : String(rows.neurons[row]);
}

/** The neurons that are shown, as a set; null for all. */
function shownOf(/** @type {Model} */ model) {
  const view = model.get("_shown");
  return view ? new Set(arrayOf(Int32Array, view)) : null;
}

/** Tell which neurons are selected, the first one leading. */
function select(/** @type {Model} */ model, /** @type {number[]} */ neurons) {
  if (!neurons.length || String(neurons) === String(model.get("selected"))) return;
  model.set("selected", neurons);
  model.save_changes();
}

/** The neurons selected, with some more, or without those that were all selected already. */
function joined(/** @type {number[]} */ selected, /** @type {number[]} */ more) {
  const had = new Set(selected);
  if (more.every((neuron) => had.has(neuron))) {
    const less = new Set(more);
    return selected.filter((neuron) => !less.has(neuron));
  }
  return [...selected, ...more.filter((neuron) => !had.has(neuron))];
}

/** A small picture of a style: its shape in its colour. */
function chipOf(/** @type {[string, string]} */ [colour, shape]) {
  const chip = makeElement("span", "orw-chip");
  chip.dataset.shape = shape;
  chip.style.setProperty("--chip", colour);
  chip.setAttribute("aria-hidden", "true");
  return chip;
}

/** Call at most once a screen refresh. @returns {{ask: () => void, stop: () => void}} */
function paced(/** @type {() => void} */ draw) {
  let asked = 0;
  return {
    ask: () => { asked ||= requestAnimationFrame(() => { asked = 0; draw(); }); },
    stop: () => { cancelAnimationFrame(asked); asked = 0; },
  };
}
