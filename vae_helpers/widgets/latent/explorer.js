// A decoder in the browser: drag a point over the latent plane and the decoded digit follows.
// Needs no kernel: all it knows comes in traits: `weights`, `points`, their `spacing`, `labels`, `colors`.

const LIMIT = 4; // the plane shows [-LIMIT, LIMIT] on both axes
const SIDE = 28;
const APART = 14; // pixels between two digits of the plane that can both be read

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
  return (z) => {
    let h = Float64Array.from(z);
    layers.forEach(({ rows, cols, weight, bias }, number) => {
      const out = new Float64Array(rows), last = number === layers.length - 1;
      for (let r = 0, k = 0; r < rows; r++) {
        let sum = bias[r];
        for (let c = 0; c < cols; c++) sum += weight[k++] * h[c];
        out[r] = last ? 1 / (1 + Math.exp(-sum)) : act(sum);
      }
      h = out;
    });
    return h;
  };
}

// ---- the page -----------------------------------------------------------------------------

function asBytes(value) { // a DataView from a kernel, a Uint8Array from a page
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function canvas(className, size) {
  const element = document.createElement("canvas");
  element.className = className;
  element.width = element.height = size;
  return element;
}

function render({ model, el }) {
  const decode = makeDecoder(asBytes(model.get("weights")), model.get("sizes"), model.get("activation"));
  const raw = asBytes(model.get("points"));
  const points = new Float32Array(raw.slice().buffer), labels = model.get("labels");
  const start = model.get("z").slice();
  let z = start.slice(), asked = false;

  const spacing = model.get("spacing"), colors = model.get("colors");
  const ratio = 2; // canvas pixels for one of the page: sharp on dense screens and when zoomed
  let planeSize = 440; // as wide as the page lets it be
  const root = document.createElement("div");
  root.className = "latent-explorer";
  const plane = canvas("latent-plane", planeSize * ratio);
  plane.tabIndex = 0;
  plane.setAttribute("role", "application");
  plane.setAttribute("aria-label", "latent plane: drag the point, or move it with the arrow keys");
  const digit = canvas("latent-digit", SIDE);
  digit.setAttribute("role", "img");
  digit.setAttribute("aria-label", "the decoded digit");
  const side = document.createElement("div");
  side.className = "latent-side";
  const readout = document.createElement("div");
  readout.className = "latent-readout";
  readout.setAttribute("aria-live", "polite");
  const reset = document.createElement("button");
  reset.className = "latent-reset";
  reset.textContent = "reset the point";
  side.append(digit, readout, reset);
  root.append(plane, side);
  el.append(root);

  // The classes are drawn once for each size, on a canvas of their own, and copied under the point.
  const toPixel = ([a, b]) => [((a + LIMIT) / (2 * LIMIT)) * planeSize, ((LIMIT - b) / (2 * LIMIT)) * planeSize];
  const background = canvas("", planeSize * ratio);
  function drawBackground() {
    plane.width = plane.height = background.width = background.height = Math.round(planeSize * ratio);
    const under = background.getContext("2d");
    under.scale(ratio, ratio);
    under.fillStyle = "#fff";
    under.fillRect(0, 0, planeSize, planeSize);
    under.strokeStyle = "#ddd";
    under.fillStyle = "#555";
    under.font = "13px sans-serif";
    for (let tick = -3; tick <= 3; tick++) {
      const [x, y] = toPixel([tick, tick]);
      under.beginPath();
      under.moveTo(x, 0), under.lineTo(x, planeSize), under.moveTo(0, y), under.lineTo(planeSize, y);
      under.stroke();
      under.textAlign = "center";
      under.fillText(String(tick).replace("-", "−"), x, planeSize - 5);
      under.textAlign = "left";
      if (tick) under.fillText(String(tick).replace("-", "−"), 4, y + 4);
    }
    // Where there is room, a point is its own digit, so that nobody needs the colour; elsewhere a dot.
    const room = (i) => spacing[i] * planeSize / (2 * LIMIT) >= APART, at = (i) => toPixel([points[2 * i], points[2 * i + 1]]);
    under.globalAlpha = 0.5;
    labels.forEach((label, i) => {
      if (room(i)) return;
      under.fillStyle = colors[label];
      under.beginPath();
      under.arc(...at(i), 1.5, 0, 2 * Math.PI);
      under.fill();
    });
    under.globalAlpha = 1;
    under.font = "bold 14px sans-serif";
    under.textAlign = "center";
    under.textBaseline = "middle";
    under.strokeStyle = "#fff";
    under.lineWidth = 3;
    labels.forEach((label, i) => {
      if (!room(i)) return;
      under.fillStyle = colors[label];
      under.strokeText(label, ...at(i));
      under.fillText(label, ...at(i));
    });
    under.fillStyle = "#111";
    under.font = "bold 15px sans-serif";
    under.textBaseline = "alphabetic";
    for (const [text, align, x, y] of [["z₁ →", "right", planeSize - 8, planeSize - 24], ["z₂ ↑", "left", 8, 20]]) {
      under.textAlign = align;
      under.strokeText(text, x, y);
      under.fillText(text, x, y);
    }
  }

  const over = plane.getContext("2d"), ink = digit.getContext("2d"), pixels = ink.createImageData(SIDE, SIDE);
  function draw() {
    asked = false;
    over.setTransform(ratio, 0, 0, ratio, 0, 0);
    over.drawImage(background, 0, 0, planeSize, planeSize);
    const [x, y] = toPixel(z);
    for (const [color, width] of [["#fff", 7], ["#000", 3]]) {
      over.strokeStyle = color;
      over.lineWidth = width;
      over.beginPath();
      over.arc(x, y, 11, 0, 2 * Math.PI);
      over.moveTo(x - 18, y), over.lineTo(x + 18, y), over.moveTo(x, y - 18), over.lineTo(x, y + 18);
      over.stroke();
    }
    const image = decode(z);
    for (let i = 0; i < image.length; i++) {
      const shade = Math.round(255 * (1 - image[i]));
      pixels.data.set([shade, shade, shade, 255], 4 * i);
    }
    ink.putImageData(pixels, 0, 0);
    const text = z.map((value) => value.toFixed(2).replace("-", "−"));
    const density = -0.5 * (z[0] ** 2 + z[1] ** 2) - Math.log(2 * Math.PI);
    readout.innerHTML = `z₁ = <b>${text[0]}</b><br>z₂ = <b>${text[1]}</b><br>` +
      `log p(z) = <b>${density.toFixed(2).replace("-", "−")}</b> nats`;
    root.dataset.z = JSON.stringify(z);
    root.dataset.frames = Number(root.dataset.frames || 0) + 1;
  }
  function move(to, done) { // many events, one picture a frame
    z = to.map((value) => Math.min(LIMIT, Math.max(-LIMIT, value)));
    if (!asked) requestAnimationFrame(draw);
    asked = true;
    if (done) {
      model.set("z", z.slice());
      model.save_changes();
    }
  }
  function toPlane(event) {
    const box = plane.getBoundingClientRect();
    return [
      ((event.clientX - box.left) / box.width) * 2 * LIMIT - LIMIT,
      LIMIT - ((event.clientY - box.top) / box.height) * 2 * LIMIT,
    ];
  }
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    plane.focus({ preventScroll: true });
    move(toPlane(event));
    event.preventDefault();
  });
  plane.addEventListener("pointermove", (event) => {
    if (plane.hasPointerCapture(event.pointerId)) move(toPlane(event));
  });
  plane.addEventListener("pointerup", (event) => move(toPlane(event), true));
  plane.addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 0.5 : 0.1;
    const step = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, by], ArrowDown: [0, -by] }[event.key];
    if (!step) return;
    move([z[0] + step[0], z[1] + step[1]], true);
    event.preventDefault();
    event.stopPropagation();
  });
  reset.addEventListener("click", () => move(start.slice(), true));
  const follow = () => move(model.get("z").slice());
  model.on("change:z", follow);
  const sizes = new ResizeObserver(() => {
    if (!plane.clientWidth || plane.clientWidth === planeSize) return;
    planeSize = plane.clientWidth;
    drawBackground();
    draw();
  });
  sizes.observe(plane);
  root.decode = (at) => Array.from(decode(at)); // for whoever checks the numbers
  drawBackground();
  draw();
  return () => {
    sizes.disconnect();
    model.off("change:z", follow);
  };
}

export default { render };
