// A decoder in the browser: drag a point over the latent plane and the decoded digit follows.
// Needs no kernel: all it knows comes in traits, the decoder as well as the points, their colours and the limit.

const APART = 14; // pixels between two digits of the plane that can both be read
const RATIO = 2; // canvas pixels for one of the page: sharp on dense screens and when zoomed
const FIRST_SIZE = 440; // of the plane, until its width in the page is known
const STEP = 0.1, LONG_STEP = 0.5; // of an arrow key, and with Shift

// ---- mathematics --------------------------------------------------------------------------

function halfToFloat(half) { // IEEE 754 binary16
  const sign = half & 0x8000 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function erf(x) { // 2/√π e^(-x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!, whose terms all have one sign
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x, sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const ACTIVATIONS = {
  gelu: (a) => 0.5 * a * (1 + erf(a / Math.SQRT2)),
  tanh: Math.tanh,
  relu: (a) => Math.max(0, a),
};

/** The decoder as a function z -> 784 probabilities of ink. `sizes` are its layers' widths. */
function makeDecoder(bytes, sizes, activation) {
  const halves = new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const values = Float32Array.from(halves, halfToFloat), act = ACTIVATIONS[activation];
  const layers = [];
  let start = 0;
  for (let i = 1; i < sizes.length; i++) {
    const [cols, rows] = [sizes[i - 1], sizes[i]];
    const weight = values.subarray(start, (start += rows * cols));
    layers.push({ rows, cols, weight, bias: values.subarray(start, (start += rows)) });
  }
  return (z) => layers.reduce((h, { rows, cols, weight, bias }, number) => {
    const out = new Float64Array(rows), last = number === layers.length - 1;
    for (let r = 0, k = 0; r < rows; r++) {
      let sum = bias[r];
      for (let c = 0; c < cols; c++) sum += weight[k++] * h[c];
      out[r] = last ? 1 / (1 + Math.exp(-sum)) : act(sum);
    }
    return out;
  }, z);
}

// ---- the parts of the page ------------------------------------------------------------------

function asBytes(value) { // a DataView from a kernel, a Uint8Array from a page
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function makeParts(side) {
  const help = "latent plane: drag the point, or move it with the arrow keys";
  const plane = make("canvas", { class: "latent-plane", tabindex: 0, role: "application", "aria-label": help });
  const image = { class: "latent-digit", width: side, height: side, role: "img", "aria-label": "the decoded digit" };
  const digit = make("canvas", image), readout = make("div", { class: "latent-readout", "aria-live": "polite" });
  const reset = make("button", { class: "latent-reset" }, "reset the point");
  const column = make("div", { class: "latent-side" }, digit, readout, reset);
  return { root: make("div", { class: "latent-explorer" }, plane, column), plane, digit, readout, reset };
}

// ---- drawing --------------------------------------------------------------------------------

const withMinus = (number) => String(number).replace("-", "−");

/** Where latents stand on a square of `size` pixels that shows [-limit, limit] on both axes. */
function makeFrame(size, limit) {
  const scale = size / (2 * limit);
  return { size, limit, scale, toPixel: ([a, b]) => [(a + limit) * scale, (limit - b) * scale] };
}

/** What stays while the point moves: drawn once for each size, and copied under the point. */
function drawBackground(canvas, frame, classes) {
  canvas.width = canvas.height = Math.round(frame.size * RATIO);
  const ink = canvas.getContext("2d");
  ink.scale(RATIO, RATIO);
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, frame.size, frame.size);
  drawGrid(ink, frame);
  drawClasses(ink, frame, classes);
  drawNames(ink, frame);
}

function drawGrid(ink, { size, limit, toPixel }) {
  Object.assign(ink, { strokeStyle: "#ddd", fillStyle: "#555", font: "13px sans-serif" });
  for (let tick = 1 - limit; tick < limit; tick++) {
    const [x, y] = toPixel([tick, tick]);
    ink.beginPath();
    ink.moveTo(x, 0), ink.lineTo(x, size), ink.moveTo(0, y), ink.lineTo(size, y);
    ink.stroke();
    ink.textAlign = "center";
    ink.fillText(withMinus(tick), x, size - 5);
    ink.textAlign = "left";
    if (tick) ink.fillText(withMinus(tick), 4, y + 4);
  }
}

/** Where there is room, a point is its own digit, so that nobody needs the colour; elsewhere a dot. */
function drawClasses(ink, { scale, toPixel }, { points, spacing, labels, colors }) {
  const all = labels.map((label, i) => ({
    label, color: colors[label], place: toPixel([points[2 * i], points[2 * i + 1]]), room: spacing[i] * scale >= APART,
  }));
  ink.globalAlpha = 0.5;
  for (const { color, place } of all.filter(({ room }) => !room)) {
    ink.fillStyle = color;
    ink.beginPath();
    ink.arc(...place, 1.5, 0, 2 * Math.PI);
    ink.fill();
  }
  Object.assign(ink, { globalAlpha: 1, font: "bold 14px sans-serif", textBaseline: "middle" });
  for (const { label, color, place } of all.filter(({ room }) => room)) write(ink, label, place, "center", color);
}

function drawNames(ink, { size }) {
  Object.assign(ink, { font: "bold 15px sans-serif", textBaseline: "alphabetic" });
  write(ink, "z₁ →", [size - 8, size - 24], "right", "#111");
  write(ink, "z₂ ↑", [8, 20], "left", "#111");
}

/** Words with a white rim, to be read over anything. */
function write(ink, words, place, align, color) {
  Object.assign(ink, { textAlign: align, strokeStyle: "#fff", lineWidth: 3, fillStyle: color });
  ink.strokeText(words, ...place);
  ink.fillText(words, ...place);
}

function drawPoint(ink, [x, y]) {
  for (const look of [{ strokeStyle: "#fff", lineWidth: 7 }, { strokeStyle: "#000", lineWidth: 3 }]) {
    Object.assign(ink, look);
    ink.beginPath();
    ink.arc(x, y, 11, 0, 2 * Math.PI);
    ink.moveTo(x - 18, y), ink.lineTo(x + 18, y), ink.moveTo(x, y - 18), ink.lineTo(x, y + 18);
    ink.stroke();
  }
}

function drawDigit(canvas, image) {
  const ink = canvas.getContext("2d"), pixels = ink.createImageData(canvas.width, canvas.height);
  image.forEach((probability, i) => {
    const shade = Math.round(255 * (1 - probability));
    pixels.data.set([shade, shade, shade, 255], 4 * i);
  });
  ink.putImageData(pixels, 0, 0);
}

function describe([a, b]) {
  const shown = (number) => `<b>${withMinus(number.toFixed(2))}</b>`;
  const density = -0.5 * (a ** 2 + b ** 2) - Math.log(2 * Math.PI);
  return `z₁ = ${shown(a)}<br>z₂ = ${shown(b)}<br>log p(z) = ${shown(density)} nats`;
}

// ---- the point ------------------------------------------------------------------------------

/** Tells where the mouse drags the point: `move(z)` on the way, `move(z, true)` at the end. */
function listenToMouse(plane, limit, move) {
  const at = (event) => {
    const box = plane.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return [(2 * x - 1) * limit, (1 - 2 * y) * limit];
  };
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    plane.focus({ preventScroll: true });
    move(at(event));
    event.preventDefault();
  });
  plane.addEventListener("pointermove", (event) => plane.hasPointerCapture(event.pointerId) && move(at(event)));
  plane.addEventListener("pointerup", (event) => move(at(event), true));
}

/** Tells by how much an arrow key moves the point. */
function listenToKeys(plane, moveBy) {
  plane.addEventListener("keydown", (event) => {
    const by = event.shiftKey ? LONG_STEP : STEP;
    const step = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key];
    if (!step) return;
    moveBy(step);
    event.preventDefault();
    event.stopPropagation();
  });
}

function render({ model, el }) {
  const sizes = model.get("sizes"), limit = model.get("limit"), start = model.get("z");
  const decode = makeDecoder(asBytes(model.get("weights")), sizes, model.get("activation"));
  const points = new Float32Array(asBytes(model.get("points")).slice().buffer);
  const classes = { points, spacing: model.get("spacing"), labels: model.get("labels"), colors: model.get("colors") };
  const { root, plane, digit, readout, reset } = makeParts(Math.sqrt(sizes.at(-1)));
  const background = document.createElement("canvas");
  let z = start, asked = false, frame;
  el.append(root);

  function resize(size) {
    frame = makeFrame(size, limit);
    drawBackground(background, frame, classes);
    plane.width = plane.height = background.width;
    draw();
  }
  function draw() {
    asked = false;
    const over = plane.getContext("2d");
    over.setTransform(RATIO, 0, 0, RATIO, 0, 0);
    over.drawImage(background, 0, 0, frame.size, frame.size);
    drawPoint(over, frame.toPixel(z));
    drawDigit(digit, decode(z));
    readout.innerHTML = describe(z);
    root.dataset.z = JSON.stringify(z);
    root.dataset.frames = Number(root.dataset.frames || 0) + 1;
  }
  function move(to, done) { // many events, one picture a frame
    z = to.map((value) => Math.min(limit, Math.max(-limit, value)));
    if (!asked) requestAnimationFrame(draw);
    asked = true;
    if (!done) return;
    model.set("z", z);
    model.save_changes();
  }
  const follow = () => move(model.get("z"));
  const watch = new ResizeObserver(() => {
    if (plane.clientWidth && plane.clientWidth !== frame.size) resize(plane.clientWidth);
  });
  root.decode = (at) => Array.from(decode(at)); // for whoever checks the numbers
  resize(FIRST_SIZE);
  listenToMouse(plane, limit, move);
  listenToKeys(plane, (step) => move(z.map((value, i) => value + step[i]), true));
  reset.addEventListener("click", () => move(start, true));
  model.on("change:z", follow);
  watch.observe(plane);
  return () => { watch.disconnect(); model.off("change:z", follow); };
}

export default { render };
