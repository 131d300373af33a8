// Responses to a grid of two parameters as coloured cells, one map a neuron, each with its bar.
// Python decides numbers, limits, colours and words; this module draws them as SVG, which follows
// the colours of the page, and tells Python which cell was chosen.
// It follows the texts of canvas.js, svg_plot.js and map_parts.js, which have what is not defined
// here.

/**
 * `edges` has the two ends of each value's cell; a cell is `index along x * y.values.length + index
 * along y`. Level 0 is a cell without response; null limits are those of a map without any.
 * @typedef {{label: string, colour: string, values: number[], edges: [number, number][]}} Axis
 * @typedef {{name: string, values: (number|null)[], levels: number[],
 *   limits: [number, number] | null, baseline: number | null,
 *   slopes: ([number, number] | null)[] | null}} ResponseMap
 * @typedef {{version: number, x: Axis, y: Axis, unit: string, maps: ResponseMap[], note: string,
 *   words: string}} Content
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function}} Model
 */

const MARGIN = { left: 72, right: 96, top: 28, bottom: 48 };
const NARROW = 560; // CSS pixels, below which maps are one below the other
const SMALL = 0.85; // height of one of several maps

/** Where a map is drawn: `left`, `top` and `side` of its square. */
function boxes(/** @type {number} */ n, /** @type {number} */ width, /** @type {number} */ height) {
  const columns = n > 1 && width >= NARROW ? 2 : 1;
  const [wide, high] = [width / columns, n > 1 ? height * SMALL : height];
  const side = Math.max(60, Math.min(
    wide - MARGIN.left - MARGIN.right, high - MARGIN.top - MARGIN.bottom,
  ));
  const spare = Math.max(0, (wide - side - MARGIN.left - MARGIN.right) / 2);
  const places = Array.from({ length: n }, (_, k) => ({
    left: (k % columns) * wide + spare + MARGIN.left,
    top: Math.floor(k / columns) * high + MARGIN.top,
    side,
  }));
  return { places, height: Math.ceil(n / columns) * high };
}

/** From values to places within a square, the first axis to the right, the second upwards. */
function scalesOf(/** @type {Content} */ { x, y }, { left, top, side }) {
  const ends = (axis) => [Math.min(...axis.edges.flat()), Math.max(...axis.edges.flat())];
  const [[x0, x1], [y0, y1]] = [ends(x), ends(y)];
  return {
    right: (value) => left + ((value - x0) / (x1 - x0)) * side,
    up: (value) => top + side - ((value - y0) / (y1 - y0)) * side,
  };
}

/** Place and size of a cell, as attributes. */
function cellBox(/** @type {Content} */ { x, y }, { right, up }, /** @type {number} */ cell) {
  const n = y.values.length;
  const [[a, b], [c, d]] = [x.edges[Math.floor(cell / n)], y.edges[cell % n]];
  return {
    x: at(right(a)), y: at(up(d)), width: at(right(b) - right(a)), height: at(up(c) - up(d)),
  };
}

/** Every k-th value, for the least k whose labels do not touch, and with both ends if it can be. */
function everyFew(/** @type {number[]} */ values, place, room) {
  const sorted = [...values].sort((a, b) => place(a) - place(b));
  const last = sorted.length - 1;
  const every = (k) => sorted.filter((_, i) => i % k === 0);
  const fits = sorted.map((_, i) => i + 1)
    .filter((k) => spaced(every(k), place, room).length === every(k).length);
  return every(fits.find((k) => last % k === 0 && last / k >= 2) ?? fits[0] ?? 1);
}

function axesNodes(/** @type {Content} */ { x, y }, { right, up }, { left, top, side }) {
  const nodes = [];
  const bottom = top + side;
  const shown = (axis, place, room) => everyFew(axis.values, place, room);
  for (const value of shown(x, right, (v) => 7.2 * tickWords(v).length + 8)) {
    const spot = at(right(value));
    nodes.push(draw("path", { class: "orw-map-axis", d: `M${spot},${at(bottom)}v5` }));
    nodes.push(text(tickWords(value), { x: spot, y: at(bottom + 18), "text-anchor": "middle" }));
  }
  for (const value of shown(y, up, () => 18)) {
    const spot = at(up(value));
    nodes.push(draw("path", { class: "orw-map-axis", d: `M${at(left)},${spot}h-5` }));
    nodes.push(text(tickWords(value), {
      x: at(left - 9), y: spot, dy: "0.35em", "text-anchor": "end",
    }));
  }
  const frame = { x: at(left), y: at(top), width: at(side), height: at(side) };
  nodes.push(draw("rect", { class: "orw-map-frame", ...frame }));
  const label = (axis, more) => text(axis.label, {
    class: "orw-map-label", "text-anchor": "middle",
    ...(axis.colour ? { style: `fill: ${axis.colour}` } : {}), ...more,
  });
  nodes.push(label(x, { x: at(left + side / 2), y: at(bottom + 38) }));
  nodes.push(label(y, { transform: `translate(${at(left - 57)},${at(top + side / 2)}) rotate(-90)` }));
  return nodes;
}

/** A ring at grey, where both parameters are 0. */
function greyNodes(scales, { left, top, side }) {
  const [cx, cy] = [scales.right(0), scales.up(0)];
  if (!(cx >= left && cx <= left + side && cy >= top && cy <= top + side)) return [];
  const ring = { cx: at(cx), cy: at(cy), r: 6 };
  return [
    draw("circle", { class: "orw-map-halo", ...ring }),
    draw("circle", { class: "orw-map-grey", ...ring }),
  ];
}

/** An arrow in the middle of each cell that has a gradient; the longest is as long as a cell. */
function slopeNodes(/** @type {Content} */ { x, y }, { slopes }, { right, up }) {
  if (!slopes) return [];
  const longest = Math.max(...slopes.filter(Boolean).map(([a, b]) => Math.hypot(a, b)));
  if (!(longest > 0)) return [];
  const sides = [...x.edges.map(([a, b]) => right(b) - right(a)),
    ...y.edges.map(([a, b]) => up(a) - up(b))];
  const unit = (0.92 * Math.min(...sides)) / longest;
  const n = y.values.length;
  const arrows = slopes.flatMap((slope, cell) => {
    if (!slope) return [];
    const [dx, dy] = [unit * slope[0], -unit * slope[1]];
    const [cx, cy] = [right(x.values[Math.floor(cell / n)]), up(y.values[cell % n])];
    return [[cx - dx / 2, cy - dy / 2, dx, dy]];
  });
  return arrowNodes(arrows);
}

class MapView extends SvgPlot {
  /** @param {Model} model @param {HTMLElement} el */
  constructor(model, el) {
    super(model, el, "orw-map");
    this.frames = [];
  }

  /** Whether a cell has a response, and can be chosen. */
  knows(/** @type {number | null} */ cell) {
    return cell !== null && this.content.maps.some((map) => map.values[cell] != null);
  }

  paint() {
    const { model, content } = this;
    const { x, y, maps, unit } = content;
    this.describe("Responses", !maps.some((map) => map.limits));
    const width = this.stage.clientWidth;
    const found = boxes(Math.max(1, maps.length), width, model.get("height"));
    this.stage.style.height = `${found.height}px`;
    if (width < 60) return; // not laid out yet: the observer calls again
    const table = model.get("_colours");
    const colourOf = (level) =>
      `rgb(${[0, 1, 2].map((k) => table.getUint8(3 * level + k)).join(",")})`;
    const nodes = [];
    this.frames = [];
    if (x.values.length && y.values.length) {
      maps.forEach((map, k) => {
        const place = found.places[k];
        const scales = scalesOf(content, place);
        this.frames.push(scales);
        const cells = map.levels.map((level, cell) => draw("rect", {
          class: level ? "orw-map-cell" : "orw-map-unknown", ...cellBox(content, scales, cell),
          ...(level ? { fill: colourOf(level) } : {}),
        }));
        nodes.push(draw("g", { class: "orw-map-one" },
          ...cells, ...axesNodes(content, scales, place), ...greyNodes(scales, place),
          ...slopeNodes(content, map, scales),
          ...barNodes(map, `response (${unit})`, colourOf, place),
          text(map.name, { class: "orw-map-name", x: at(place.left), y: at(place.top - 10) }),
        ));
      });
    }
    this.guide = draw("g");
    this.redraw(width, found.height, [...nodes, this.guide]);
  }

  /** Show which cell is chosen, and which the pointer is at. */
  mark() {
    const { content } = this;
    const chosen = this.model.get("clicked");
    const guides = [[this.hovered, "orw-map-hovered"], [chosen, "orw-map-chosen"]];
    this.guide?.replaceChildren(...guides.filter(([cell]) => this.knows(cell)).flatMap(
      ([cell, name]) => this.frames.flatMap((scales) => {
        const box = cellBox(content, scales, cell);
        return [draw("rect", { class: "orw-map-halo", ...box }), draw("rect", { class: name, ...box })];
      }),
    ));
    say(this.readout, this.inWords(this.knows(this.hovered) ? this.hovered : chosen));
  }

  /** A condition and its responses. */
  inWords(/** @type {number | null} */ cell) {
    const { x, y, maps } = this.content;
    if (!this.knows(cell)) {
      return maps.some((map) => map.limits)
        ? this.content.hint
          ?? "Click on a cell, or press the arrow keys, to see its stimulus and responses." : "";
    }
    const n = y.values.length;
    const found = maps.filter((map) => map.values[cell] != null)
      .map((map) => {
        const slope = map.slopes?.[cell];
        const words = slope ? `, gradient (${slope.map(numeral).join(", ")})` : "";
        return `${map.name}: ${numeral(map.values[cell])}${words}`;
      });
    const where = `${x.label} ${tickWords(x.values[Math.floor(cell / n)])}, `
      + `${y.label} ${tickWords(y.values[cell % n])}`;
    return `${where} — ${found.join("; ")}`;
  }

  /** The cell under the pointer that has a response. @returns {number | null} */
  under(/** @type {MouseEvent} */ event) {
    const bounds = this.drawing.getBoundingClientRect();
    const [px, py] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const { x, y } = this.content;
    for (const { right, up } of this.frames) {
      const i = x.edges.findIndex(([a, b]) => px >= right(a) && px < right(b));
      const j = y.edges.findIndex(([a, b]) => py <= up(a) && py > up(b));
      const cell = i * y.values.length + j;
      if (i >= 0 && j >= 0) return this.knows(cell) ? cell : null;
    }
    return null;
  }

  onKey(/** @type {KeyboardEvent} */ event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { x, y } = this.content;
    const known = x.values.flatMap((_, i) => y.values.map((__, j) => i * y.values.length + j))
      .filter((cell) => this.knows(cell));
    const steps = {
      ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1],
    };
    const goals = { Home: known[0], End: known[known.length - 1] };
    if (!known.length || !(event.key in steps || event.key in goals)) return;
    event.preventDefault();
    const now = this.model.get("clicked");
    if (event.key in goals || !this.knows(now)) this.choose(goals[event.key] ?? known[0]);
    else this.choose(this.beside(now, steps[event.key]));
  }

  /** The next cell in a direction that has a response; null at the edge. */
  beside(/** @type {number} */ cell, /** @type {number[]} */ [right, up]) {
    const { x, y } = this.content;
    const n = y.values.length;
    const turned = (axis, index, by) => { // as seen, whatever the order of the values
      const order = axis.values.map((_, k) => k).sort((a, b) => axis.values[a] - axis.values[b]);
      return order[order.indexOf(index) + by];
    };
    let [i, j] = [Math.floor(cell / n), cell % n];
    for (;;) {
      [i, j] = [turned(x, i, right), turned(y, j, up)];
      if (i === undefined || j === undefined) return null;
      if (this.knows(i * n + j)) return i * n + j;
    }
  }
}

export default moduleOf((model, el) => new MapView(model, el));
