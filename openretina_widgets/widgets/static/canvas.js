// What the canvases of this package share: colour tables, numbers in words, elements. Not a module:
// the text is put before that of the module that uses it, so that each stays self-contained.

// ---- colours

/** A table of colours as RGBA words for a canvas (every browser's machine is little-endian). */
function tableOf(/** @type {DataView} */ bytes, offset = 0, alpha = 255) {
  const table = new Uint32Array(256);
  for (let i = 1; i < 256; i++) {
    const [red, green, blue] = [0, 1, 2].map((k) => bytes.getUint8(offset + 3 * i + k));
    table[i] = ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
  return table; // index 0, undefined, stays transparent: the hatch behind the canvas shows
}

/** More contrast: the same colours, reached `gain` times nearer to the pivot. */
function stretched(/** @type {Uint32Array} */ table, /** @type {number} */ pivot, gain = 1) {
  const from = (i) => Math.min(255, Math.max(1, Math.round(pivot + gain * (i - pivot))));
  return table.map((_, i) => (i ? table[from(i)] : 0));
}

// ---- words

/** A number as a person writes it: three digits, a real minus sign. */
function numeral(/** @type {number} */ number) {
  const rounded = Math.abs(number) < 1e-12 ? 0 : Number(number.toPrecision(3));
  return String(rounded).replace("-", "−");
}

const counted = (/** @type {number} */ n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

/** The largest of 1, 2, 5 times a power of ten that is not above `most`. */
function roundDown(/** @type {number} */ most) {
  const power = 10 ** Math.floor(Math.log10(most) + 1e-9);
  return power * ([5, 2].find((step) => step * power <= most * (1 + 1e-9)) ?? 1);
}

// ---- elements

/** An element with a class, properties and children. @returns {any} */
function makeElement(/** @type {string} */ tag, className = "", properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Set a text; the same text once more costs nothing. */
function say(/** @type {HTMLElement} */ node, /** @type {string} */ text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A canvas of `width` by `height` pixels, shown at another size. */
function makeCanvas(width, height, cssWidth, cssHeight, label) {
  const canvas = makeElement("canvas", "", { width, height });
  Object.assign(canvas.style, { width: `${cssWidth}px`, height: `${cssHeight}px` });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

/** Fill a canvas; `colour(x, y)` is an RGBA word. */
function fill(canvas, colour) {
  const image = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  pixels.forEach((_, i) => (pixels[i] = colour(i % canvas.width, Math.floor(i / canvas.width))));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** What stands for undefined: a grey hatch. */
function hatchOf(/** @type {CanvasRenderingContext2D} */ context) {
  const cell = makeElement("canvas", "", { width: 6, height: 6 });
  fill(cell, (x, y) => ((x + y) % 6 < 3 ? 0xff8e8e8e : 0xffb0b0b0));
  return context.createPattern(cell, "repeat");
}

/** Listen to a model; the returned function ends it. */
function listen(/** @type {Model} */ model, callbacks) {
  for (const [name, callback] of Object.entries(callbacks)) model.on(name, callback);
  return () => {
    for (const [name, callback] of Object.entries(callbacks)) model.off(name, callback);
  };
}

/** Call back when JupyterLab has changed its theme; the returned function ends it. */
function watchTheme(/** @type {() => void} */ callback) {
  const observer = new MutationObserver(callback);
  const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "class"];
  observer.observe(document.body, { attributes: true, attributeFilter });
  return () => observer.disconnect();
}
