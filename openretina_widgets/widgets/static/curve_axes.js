// What is drawn of curves: straight axes or a circle, lines, markers. Python decides numbers, limits,
// ticks, colours and words. Not a module: the text follows those of canvas.js and svg_plot.js, and
// comes before that of the module that uses it.

/**
 * One line. `values` belong to `x.values`; null is a gap. `preferred` is a place on the x axis.
 * @typedef {{name: string, colour: string, dash: string, marker: string, values: (number|null)[],
 *   errors: (number|null)[] | null, fit: [number[], number[]] | null, preferred: number | null}} Curve
 * @typedef {{values: number[], ticks: number[], label: string, low: number, high: number,
 *   log: boolean, name: string, unit: string}} Axis
 * @typedef {{kind: "cartesian" | "polar", marks: boolean, closed: number, x: Axis, y: Axis,
 *   curves: Curve[], shade: [number, number][], landmarks: {start: number, stop: number,
 *   what: string}[], baseline: number | null, note: string, words: string}} Content
 * @typedef {{get: (name: string) => any, set: Function, save_changes: Function, on: Function,
 *   off: Function}} Model
 */

const MARGIN = { left: 78, right: 18, top: 12, bottom: 52 };
const LANDMARKS = 24; // CSS pixels above the plot for their names
const ROW = 16; // CSS pixels, of a second row of them
const CHARACTER = 7.2; // CSS pixels, of a tick's label
const BETWEEN = 6; // CSS pixels between two labels
const MARKERS = {
  circle: "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0z",
  square: "M-4.5,-4.5h9v9h-9z",
  triangle: "M0,-5.5L5.5,4.5H-5.5z",
  diamond: "M0,-6L6,0L0,6L-6,0z",
};

/** What a tick's label takes. */
const roomOf = (/** @type {number} */ tick) => CHARACTER * tickWords(tick).length + BETWEEN;

/** A path through places; a null lifts the pen. */
function pathThrough(/** @type {([number, number] | null)[]} */ places, closed = false) {
  const whole = closed && places.every(Boolean);
  let pen = "M";
  const parts = places.map((place) => {
    if (!place) {
      pen = "M";
      return "";
    }
    const part = `${pen}${at(place[0])},${at(place[1])}`;
    pen = "L";
    return part;
  });
  return parts.join("") + (whole ? "Z" : "");
}

/** Straight axes: places of conditions and values in CSS pixels. */
function straight(/** @type {Content} */ { x, y, landmarks }, width, height) {
  const box = {
    left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom,
  };
  const scale = x.log ? Math.log : (value) => value;
  const [low, high] = [scale(x.low), scale(x.high)];
  const right = (value) =>
    box.left + ((scale(value) - low) / (high - low)) * (box.right - box.left);
  const up = (value) =>
    box.bottom - ((value - y.low) / (y.high - y.low)) * (box.bottom - box.top);
  const within = (value) => Math.min(box.right, Math.max(box.left, right(value)));
  const rows = namedInRows(landmarks, within, width);
  if (landmarks.length) box.top += LANDMARKS + (rows.includes(1) ? ROW : 0);
  return { box, right, up, within, rows, place: (value, response) => [right(value), up(response)] };
}

/** Row of each landmark's name, so that names do not touch: 0, 1 above it, or null for no room. */
function namedInRows(/** @type {Content["landmarks"]} */ landmarks, within, width) {
  const free = [-Infinity, -Infinity];
  return landmarks.map(({ start, stop, what }) => {
    const middle = (within(start) + within(stop)) / 2;
    const half = (CHARACTER * what.length) / 2;
    if (middle + half > width) return null;
    const row = free.findIndex((end) => middle - half >= end + BETWEEN);
    if (row < 0) return null;
    free[row] = middle + half;
    return row;
  });
}

/** Around a circle: 0 degrees right, 90 up, the response outwards. */
function round(/** @type {Content} */ { y }, width, height) {
  const radius = Math.max(20, Math.min(width / 2 - 46, height / 2 - 30));
  const [cx, cy] = [width / 2, height / 2];
  const out = (response) => (Math.max(0, response - y.low) / (y.high - y.low)) * radius;
  const place = (degrees, response) => {
    const angle = (degrees * Math.PI) / 180;
    return [cx + Math.cos(angle) * out(response), cy - Math.sin(angle) * out(response)];
  };
  return { cx, cy, radius, out, place };
}

function straightAxes(/** @type {Content} */ content, frame, width, height) {
  const { x, y, shade, landmarks, baseline } = content;
  const { box, right, up, within, rows } = frame;
  const nodes = [];
  for (const [start, stop] of shade) {
    nodes.push(draw("rect", {
      class: "orw-curves-shade", x: at(within(start)), y: box.top,
      width: at(Math.max(0, within(stop) - within(start))), height: at(box.bottom - box.top),
    }));
  }
  for (const tick of y.ticks) {
    const height = at(up(tick));
    nodes.push(draw("path", { class: "orw-curves-grid", d: `M${box.left},${height}H${box.right}` }));
    nodes.push(text(tickWords(tick), {
      class: "orw-curves-tick", x: box.left - 8, y: height, dy: "0.35em", "text-anchor": "end",
    }));
  }
  for (const tick of spaced(x.ticks, right, roomOf)) {
    const d = `M${at(right(tick))},${box.bottom}v6`;
    nodes.push(draw("path", { class: "orw-curves-axis", d }));
    nodes.push(text(tickWords(tick), {
      class: "orw-curves-tick", x: at(right(tick)), y: box.bottom + 20, "text-anchor": "middle",
    }));
  }
  landmarks.forEach(({ start, stop, what }, i) => {
    const d = `M${at(within(start))},${box.top - 4}H${at(within(stop) - 2)}`;
    nodes.push(draw("path", { class: "orw-curves-landmark", d }));
    const line = `M${at(within(start))},${box.top - 4}V${box.bottom}`;
    nodes.push(draw("path", { class: "orw-curves-guide", d: line }));
    if (rows[i] === null) return;
    nodes.push(text(what, {
      class: "orw-curves-tick", x: at((within(start) + within(stop)) / 2),
      y: box.top - 10 - ROW * rows[i], "text-anchor": "middle",
    }));
  });
  if (baseline !== null) {
    const d = `M${box.left},${at(up(baseline))}H${box.right}`;
    nodes.push(draw("path", { class: "orw-curves-baseline", d }));
  }
  const d = `M${box.left},${box.top}V${box.bottom}H${box.right}`;
  nodes.push(draw("path", { class: "orw-curves-axis", d }));
  nodes.push(text(x.label, {
    class: "orw-curves-label", x: at((box.left + box.right) / 2), y: height - 8,
    "text-anchor": "middle",
  }));
  const middle = at((box.top + box.bottom) / 2);
  nodes.push(text(y.label, {
    class: "orw-curves-label", transform: `translate(18,${middle}) rotate(-90)`,
    "text-anchor": "middle",
  }));
  return nodes;
}

function roundAxes(/** @type {Content} */ content, frame) {
  const { y, baseline } = content;
  const { cx, cy, radius, out } = frame;
  const nodes = [];
  for (let degrees = 0; degrees < 360; degrees += 45) {
    const angle = (degrees * Math.PI) / 180;
    const [dx, dy] = [Math.cos(angle), -Math.sin(angle)];
    const d = `M${cx},${cy}L${at(cx + dx * radius)},${at(cy + dy * radius)}`;
    nodes.push(draw("path", { class: "orw-curves-grid", d }));
    const anchor = Math.abs(dx) < 0.1 ? "middle" : dx > 0 ? "start" : "end";
    nodes.push(text(`${degrees}°`, {
      class: "orw-curves-tick", x: at(cx + dx * (radius + 12)), y: at(cy + dy * (radius + 14)),
      dy: "0.35em", "text-anchor": anchor,
    }));
  }
  for (const tick of y.ticks.filter((value) => out(value) > 1)) {
    nodes.push(draw("circle", { class: "orw-curves-grid", cx, cy, r: at(out(tick)) }));
  }
  if (baseline !== null && out(baseline) > 1) {
    nodes.push(draw("circle", { class: "orw-curves-baseline", cx, cy, r: at(out(baseline)) }));
  }
  return nodes;
}

/** Rings' labels, on top of the curves so that they stay readable. */
function ringLabels(/** @type {Content} */ { y }, { cx, cy, radius, out }) {
  const shown = y.ticks.filter((value) => out(value) > 1);
  const every = Math.ceil(shown.length / 3);
  const angle = (-67.5 * Math.PI) / 180;
  return shown.filter((_, i) => (shown.length - 1 - i) % every === 0).map((tick) => text(tickWords(tick), {
    class: "orw-curves-tick orw-curves-ring", x: at(cx + Math.cos(angle) * out(tick)),
    y: at(cy - Math.sin(angle) * out(tick)), dy: "0.35em", "text-anchor": "middle",
  }));
}

const paint = ({ colour, dash }) => ({ stroke: colour, "stroke-dasharray": dash });

/** The lines and marks of one curve. */
function curveNodes(/** @type {Content} */ content, frame, /** @type {Curve} */ curve) {
  const { x, closed, marks, kind } = content;
  const { place } = frame;
  const polar = kind === "polar";
  const nodes = [];
  const turns = polar && closed === 180 ? [0, 180] : [0]; // an orientation is drawn on both sides
  const places = turns.flatMap((turn) => x.values.map((value, i) =>
    (curve.values[i] == null ? null : place(value + turn, curve.values[i]))));
  if (curve.fit) {
    const [fx, fy] = curve.fit;
    const d = pathThrough(turns.flatMap((turn) =>
      fx.map((value, i) => place(value + turn, fy[i]))), false);
    nodes.push(draw("path", { class: "orw-curves-fit", d, stroke: curve.colour }));
  }
  const d = pathThrough(places, polar && (closed === 180 || x.values.length > 2));
  const line = curve.fit ? "orw-curves-line orw-curves-beside" : "orw-curves-line";
  nodes.push(draw("path", { class: line, d, ...paint(curve) }));
  if (curve.preferred !== null) nodes.push(...preferredNodes(content, frame, curve));
  if (!marks) return nodes;
  x.values.forEach((value, i) => {
    const response = curve.values[i];
    if (response == null) return;
    const error = curve.errors?.[i];
    if (error) {
      const ends = [Math.max(response - error, content.y.low), response + error]
        .map((end) => place(value, end));
      nodes.push(draw("path", { class: "orw-curves-error", d: pathThrough(ends), stroke: curve.colour }));
    }
  });
  places.forEach((spot, i) => {
    if (!spot) return;
    const mirror = i >= x.values.length;
    nodes.push(draw("path", {
      class: mirror ? "orw-curves-mark orw-curves-mirror" : "orw-curves-mark",
      d: MARKERS[curve.marker], transform: `translate(${at(spot[0])},${at(spot[1])})`,
      style: `--colour: ${curve.colour}`,
    }));
  });
  return nodes;
}

/** A mark at the edge of the plot where a neuron responds best. */
function preferredNodes(/** @type {Content} */ { kind, closed }, frame, /** @type {Curve} */ curve) {
  const mark = { class: "orw-curves-preferred", style: `--colour: ${curve.colour}` };
  if (kind === "polar") {
    const { cx, cy, radius } = frame;
    return (closed === 180 ? [0, 180] : [0]).flatMap((turn) => {
      const degrees = curve.preferred + turn;
      const transform = `translate(${cx},${cy}) rotate(${at(-degrees)})`;
      return [
        draw("path", {
          class: "orw-curves-arrow", d: `M0,0H${at(radius)}`, transform, stroke: curve.colour,
        }),
        draw("path", { ...mark, d: `M${at(radius + 2)},0l-11,-5v10z`, transform }),
      ];
    });
  }
  const { box, right } = frame;
  const spot = right(curve.preferred);
  if (!(spot >= box.left - 1 && spot <= box.right + 1)) return [];
  return [draw("path", { ...mark, d: `M${at(spot)},${box.bottom - 1}l-6,-11h12z` })];
}
