// Pictures of the model as it is now: the latent plane, the decoded plane, and one image's posterior beside its q.

import { decode, encode, sigmoid } from "./engine.js";
import { prepare, show, takeLook, write } from "./paint.js";

export const PLANE = 4; // the latent plane shows [−4, 4] on both axes
const DECODED = { reach: 3, across: 15 }; // the decoded plane: z from −3 to 3, 15 images in a row
const APART = 13; // pixels between two digits of the plane that can both be read
const GLYPH = 20; // pixels, with a rim

/** Where latents stand on a canvas that shows `limit` to each side of `center`. */
function axesOf(width, height, center, limit) {
  return {
    x: (value) => ((value - center[0] + limit) / (2 * limit)) * width,
    y: (value) => ((limit - value + center[1]) / (2 * limit)) * height,
  };
}

function drawGrid(ink, width, height, { x, y }, marks, digits, flat) {
  Object.assign(ink, {
    strokeStyle: "#ddd",
    fillStyle: "#444",
    font: "12px sans-serif",
    lineWidth: 1,
    textBaseline: "alphabetic",
  });
  ink.beginPath();
  for (const tick of marks[0]) {
    (ink.moveTo(x(tick), 0), ink.lineTo(x(tick), height));
    ink.textAlign = "center";
    ink.fillText(show(tick, digits), x(tick), height - 5);
  }
  for (const tick of flat ? [] : marks[1]) {
    (ink.moveTo(0, y(tick)), ink.lineTo(width, y(tick)));
    ink.textAlign = "left";
    if (y(tick) > 36) ink.fillText(show(tick, digits), 4, y(tick) - 3); // above stands the axis' name
  }
  ink.stroke();
}

/** The means of q of many images: each its own digit where there is room, else a dot. */
export function drawPlane(canvas, model, images, labels, colors, chosen, roles) {
  const { ink, width, height } = prepare(canvas),
    { latents } = model,
    flat = latents === 1;
  const axes = axesOf(width, height, [0, 0], PLANE),
    whole = [-3, -2, -1, 0, 1, 2, 3];
  drawGrid(ink, width, height, axes, [whole, whole], 0, flat);
  const head = encode(
    model,
    images,
    Int32Array.from({ length: images.count }, (_, i) => i),
  );
  const row = (label) => 18 + ((height - 50) * (Number(label) + 0.5)) / 10; // with one latent a row for each digit
  const points = Array.from(labels, (label, i) => [
    axes.x(head[2 * latents * i]),
    flat ? row(label) : axes.y(head[2 * latents * i + 1]),
    label,
  ]);
  ink.globalAlpha = 0.45;
  for (const [x, y, label] of points) {
    ink.fillStyle = colors[label];
    ink.fillRect(x - 1.5, y - 1.5, 3, 3);
  }
  ink.globalAlpha = 1;
  const placed = [];
  for (const [x, y, label] of points) {
    if (placed.some(([a, b]) => Math.abs(a - x) < APART && Math.abs(b - y) < APART)) continue;
    placed.push([x, y]);
    const glyph = glyphOf(label, colors[label]);
    ink.drawImage(glyph, x - GLYPH / 2, y - GLYPH / 2, GLYPH, GLYPH);
  }
  const outside = points.filter(([x, y]) => !(x >= 0 && x <= width && y >= 0 && y <= height)).length;
  Object.assign(ink, { font: "bold 13px sans-serif", textBaseline: "middle" });
  if (outside) write(ink, `${outside} of ${points.length} lie outside`, width / 2, 34, "center");
  if (chosen) drawQ(ink, axes, chosen, 2, roles.q, flat ? height - 24 : null);
  Object.assign(ink, { font: "bold 13px sans-serif", textBaseline: "alphabetic" });
  write(ink, flat ? "z →" : "z₁ →", width - 6, height - 20, "right");
  if (!flat) write(ink, "z₂ ↑", 6, 16);
}

const glyphs = new Map();

/** A digit in its colour, drawn once: text takes long to draw, and there are hundreds in each picture. */
function glyphOf(label, color) {
  if (glyphs.has(label)) return glyphs.get(label);
  const sheet = new OffscreenCanvas(3 * GLYPH, 3 * GLYPH),
    ink = sheet.getContext("2d");
  ink.scale(3, 3);
  Object.assign(ink, { font: "bold 14px sans-serif", textBaseline: "middle" });
  write(ink, label, GLYPH / 2, GLYPH / 2 + 1, "center", color);
  glyphs.set(label, sheet);
  return sheet;
}

/** q as an ellipse at `widths` σ with a cross at its mean; with one latent a bar at the height `flatY`. */
function drawQ(ink, { x, y }, { mu, sigma }, widths, look, flatY) {
  const center = [x(mu[0]), flatY ?? y(mu[1])],
    across = Math.abs(x(mu[0] + widths * sigma[0]) - center[0]);
  const down = flatY === null ? Math.abs(y(mu[1] + widths * sigma[1]) - center[1]) : 4;
  for (const [style, width] of [
    [{ color: "#fff", dash: [] }, 5],
    [look, 2.5],
  ]) {
    takeLook(ink, style, width);
    ink.beginPath();
    ink.ellipse(...center, Math.max(2, across), Math.max(2, down), 0, 0, 2 * Math.PI);
    ink.stroke();
  }
  takeLook(ink, { color: "#111", dash: [] }, 2);
  ink.beginPath();
  (ink.moveTo(center[0] - 7, center[1]), ink.lineTo(center[0] + 7, center[1]));
  (ink.moveTo(center[0], center[1] - 7), ink.lineTo(center[0], center[1] + 7));
  ink.stroke();
}

/** The probabilities of ink at a grid over the latents; with one latent at 49 values, line by line. */
export function decodePlane(model) {
  const { reach, across } = DECODED,
    flat = model.latents === 1,
    count = flat ? 49 : across ** 2;
  const z = new Float32Array(count * model.latents);
  for (let k = 0; k < count; k++) {
    if (flat) z[k] = -reach + (2 * reach * k) / (count - 1);
    else {
      z[2 * k] = -reach + (2 * reach * (k % across)) / (across - 1);
      z[2 * k + 1] = reach - (2 * reach * Math.floor(k / across)) / (across - 1);
    }
  }
  return { images: decode(model, z, count).map(sigmoid), across: flat ? 7 : across };
}

/** The posterior of the chosen image on its grid, from white to black, and q's ellipses at 1 and 2 σ. */
export function drawPosterior(canvas, { posterior, mu, sigma }, roles) {
  const { ink, width, height } = prepare(canvas),
    { points, limit } = posterior,
    flat = mu.length === 1;
  const center = flat ? [posterior.center[0], 0] : posterior.center,
    axes = axesOf(width, height, center, limit);
  const step = 10 ** Math.floor(Math.log10(limit)),
    size = step * (limit / step > 4 ? 2 : limit / step > 2 ? 1 : 0.5);
  const marks = center.map((middle) => {
    const first = Math.ceil((middle - limit) / size + 0.15) * size;
    return Array.from({ length: 9 }, (_, k) => first + k * size).filter((value) => value < middle + 0.94 * limit);
  });
  if (flat) drawDensities(ink, width, height, axes, posterior, mu[0], sigma[0], roles);
  else shadePosterior(ink, width, height, posterior.probabilities, points);
  drawGrid(ink, width, height, axes, marks, Math.max(0, -Math.floor(Math.log10(size) + 1e-9)), flat);
  const far = mu.some((value, i) => Math.abs(value - posterior.center[i]) > limit);
  Object.assign(ink, { font: "bold 13px sans-serif", textBaseline: "middle" });
  if (far) write(ink, `q lies outside, at ${mu.map((value) => show(value)).join(", ")}`, width / 2, 34, "center");
  if (!flat) for (const widths of [1, 2]) drawQ(ink, axes, { mu, sigma }, widths, roles.q, null);
  Object.assign(ink, { font: "bold 13px sans-serif", textBaseline: "alphabetic" });
  write(ink, flat ? "z →" : "z₁ →", width - 6, height - 20, "right");
  if (!flat) write(ink, "z₂ ↑", 6, 16);
}

function shadePosterior(ink, width, height, probabilities, points) {
  const highest = probabilities.reduce((a, b) => Math.max(a, b), 0);
  const sheet = new OffscreenCanvas(points, points),
    within = sheet.getContext("2d");
  const pixels = within.createImageData(points, points);
  for (let i = 0; i < points; i++) {
    // the first latent goes right, the second up
    for (let j = 0; j < points; j++) {
      const shade = 255 - 190 * Math.sqrt(probabilities[i * points + j] / highest),
        at = 4 * ((points - 1 - j) * points + i);
      pixels.data.set([shade, shade, shade, 255], at);
    }
  }
  within.putImageData(pixels, 0, 0);
  const half = [width / (points - 1) / 2, height / (points - 1) / 2]; // the first and last points lie on the edges
  ink.drawImage(sheet, -half[0], -half[1], width + 2 * half[0], height + 2 * half[1]);
}

function drawDensities(ink, width, height, { x }, { probabilities, points, limit, center }, mu, sigma, roles) {
  const step = (2 * limit) / (points - 1),
    at = (k) => center[0] - limit + k * step;
  const q = Float64Array.from(
    { length: points },
    (_, k) => Math.exp(-0.5 * ((at(k) - mu) / sigma) ** 2) / (sigma * Math.sqrt(2 * Math.PI)),
  );
  const density = probabilities.map((probability) => probability / step);
  const highest = Math.max(...q, ...density),
    base = height - 24;
  for (const [curve, look] of [
    [density, roles.posterior],
    [q, roles.q],
  ]) {
    takeLook(ink, look);
    ink.beginPath();
    curve.forEach((value, k) => ink.lineTo(x(at(k)), base - (value / highest) * (base - 24)));
    ink.stroke();
  }
  ink.setLineDash([]);
}
