// What maps drawn as SVG share: a colour bar, and arrows. Not a module: the text follows those of
// canvas.js and svg_plot.js, so that each module stays self-contained.

const BAR = { gap: 16, width: 14, steps: 85 };

/**
 * A bar beside a square, with a line at the baseline where there is one.
 * @param {{limits: [number, number] | null, baseline: number | null}} map
 */
function barNodes(map, label, colourOf, { left, top, side }) {
  const spot = left + side + BAR.gap;
  const nodes = [];
  const step = side / BAR.steps;
  for (let k = 0; k < BAR.steps; k++) {
    nodes.push(draw("rect", {
      x: at(spot), y: at(top + side - (k + 1) * step), width: BAR.width, height: at(step + 0.6),
      fill: colourOf(Math.round(1 + (254 * k) / (BAR.steps - 1))),
    }));
  }
  const frame = { x: at(spot), y: at(top), width: BAR.width, height: at(side) };
  nodes.push(draw("rect", { class: "orw-map-frame", ...frame }));
  const [low, high] = map.limits ?? [0, 1];
  const up = (value) => top + side - ((value - low) / (high - low)) * side;
  const ticks = map.limits ? [low, ...(low < 0 && high > 0 ? [0] : [(low + high) / 2]), high] : [];
  for (const tick of spaced(ticks, up, () => 18)) {
    const place = { x: at(spot + BAR.width + 7), y: at(up(tick)), dy: "0.35em" };
    nodes.push(text(tickWords(tick), place));
  }
  if (map.limits && map.baseline !== null) {
    const d = `M${at(spot - 4)},${at(up(map.baseline))}h${BAR.width + 8}`;
    const lines = ["orw-map-halo", "orw-map-grey"];
    nodes.push(...lines.map((name) => draw("path", { class: name, d })));
  }
  nodes.push(text(label, {
    class: "orw-map-label", "text-anchor": "middle",
    transform: `translate(${at(spot + BAR.width + 58)},${at(top + side / 2)}) rotate(-90)`,
  }));
  return nodes;
}

/** Arrows, each with its tail and how far it goes (px); one too short for a direction is none. */
function arrowNodes(/** @type {[number, number, number, number][]} */ arrows) {
  let d = "";
  for (const [x, y, dx, dy] of arrows) {
    const size = Math.hypot(dx, dy);
    if (size < 1.5) continue;
    const [ux, uy] = [dx / size, dy / size];
    const tip = `${at(x + dx)},${at(y + dy)}`;
    const head = Math.min(8, 0.45 * size);
    const wing = (side) => `L${at(x + dx - head * (0.87 * ux + side * 0.5 * uy))},`
      + at(y + dy - head * (0.87 * uy - side * 0.5 * ux));
    d += `M${at(x)},${at(y)}L${tip}${wing(1)}M${tip}${wing(-1)}`;
  }
  return d ? [
    draw("path", { class: "orw-map-arrow-halo", d }), draw("path", { class: "orw-map-arrow", d }),
  ] : [];
}
