// Plots as SVG text, in the way of the course's Matplotlib pictures: white paper, large type, no top and right spine.
// Everything is placed in pixels of the page, so that a phone gets type of the same size on a smaller picture.

import { decimals } from "./math.js";

const FONT = "'DejaVu Sans', Verdana, 'Segoe UI', sans-serif";
const INK = "#111"; // of words, axes and ticks
const NARROW = 600; // pixels: below, plots stand one above the other
const TICK = 5; // pixels: how long a tick is
const LINE_HEIGHT = 1.25; // of a text, in its own size
const LARGEST = 16; // pixels: the type of a wide picture, for which the line widths below are meant

const widths = new Map(); // of texts that have been measured
let measure = null;

/** How wide a text will be, in pixels; `*…*` is set in italics and measures as without. */
export function textWidth(text, size) {
  const plain = text.replaceAll("*", ""), key = `${size} ${plain}`;
  if (!widths.has(key)) {
    measure ??= globalThis.document?.createElement("canvas").getContext("2d");
    if (measure) measure.font = `${size}px ${FONT}`;
    widths.set(key, measure ? measure.measureText(plain).width : 0.6 * size * plain.length);
  }
  return widths.get(key);
}

const escapeText = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const short = (number) => String(Math.round(number * 10) / 10);
export const isNarrow = (width) => width < NARROW;

// ---- a sheet, and the axes on it --------------------------------------------------------------

/** The measures of a picture: size of type, width of a line, both smaller where there is little room. */
export function sheetOf(width) {
  const font = isNarrow(width) ? 14 : LARGEST;
  return { width, font, stroke: (3 * font) / LARGEST };
}

export function drawSheet({ width, font }, height, ...parts) {
  const size = `width="${short(width)}" height="${short(height)}" viewBox="0 0 ${short(width)} ${short(height)}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="${FONT}" font-size="${font}" fill="${INK}">`
    + `<rect width="100%" height="100%" fill="#fff"/>${parts.join("")}</svg>`;
}

/**
 * Axes inside an outer box of the sheet: `x` and `y` are their limits; ticks are chosen where none are given.
 * `xnames` and `ynames` are written at the ticks in place of their numbers.
 */
export function makeAxes(sheet, { left, top, width, height }, plan) {
  const { font } = sheet, lines = (names) => Math.max(1, ...names.map((name) => name.split("\n").length));
  const about = { x: width - 4 * font, y: height - 3 * font };
  const xticks = plan.xticks ?? niceTicks(plan.x, about.x / (3 * font));
  const yticks = plan.yticks ?? niceTicks(plan.y, about.y / (2 * font));
  const xnames = plan.xnames ?? tickNames(xticks), ynames = plan.ynames ?? tickNames(yticks);
  const before = TICK + 4 + Math.max(0, ...ynames.flatMap((name) => name.split("\n")).map((line) => textWidth(line, font)))
    + (plan.ylabel ? 1.5 * font : 0);
  const below = TICK + 2 + lines(xnames) * LINE_HEIGHT * font + (plan.xlabel ? 1.55 * font : 0.2 * font);
  const above = plan.title ? 2 * font : 0.7 * font, after = 0.3 * font + textWidth(xnames.at(-1) ?? "", font) / 2;
  const box = { left: left + before, top: top + above, width: width - before - after, height: height - above - below };
  const [[x0, x1], [y0, y1]] = [plan.x, plan.y];
  const toX = (x) => box.left + ((x - x0) / (x1 - x0)) * box.width;
  const toY = (y) => box.top + ((y1 - y) / (y1 - y0)) * box.height;
  return { ...plan, sheet, outer: { left, width }, box, toX, toY, xticks, yticks, xnames, ynames };
}

/** Round numbers inside the limits, at most `room` distances of them and at most nine, as Matplotlib has them. */
function niceTicks([low, high], room) {
  const most = Math.max(1, Math.min(9, Math.floor(room))), raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= raw * (1 - 1e-9));
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** Ticks as text, all with the decimals that the finest of them needs. */
function tickNames(ticks) {
  const digits = Math.max(0, ...ticks.map((tick) => (String(Number(tick.toFixed(6))).split(".")[1] ?? "").length));
  return ticks.map((tick) => decimals(tick, digits));
}

export function drawFrame(axes) {
  const { sheet: { font }, box, toX, toY } = axes, bottom = box.top + box.height, parts = [];
  const line = (x1, y1, x2, y2) => parts.push(`M${short(x1)} ${short(y1)}L${short(x2)} ${short(y2)}`);
  line(box.left, box.top, box.left, bottom);
  line(box.left, bottom, box.left + box.width, bottom);
  axes.xticks.forEach((tick) => line(toX(tick), bottom, toX(tick), bottom + TICK));
  axes.yticks.forEach((tick) => line(box.left - TICK, toY(tick), box.left, toY(tick)));
  const words = [`<path d="${parts.join("")}" stroke="${INK}" stroke-width="1.1" fill="none"/>`];
  axes.xticks.forEach((tick, i) => words.push(write(axes.xnames[i], toX(tick), bottom + TICK + 2 + font, { font })));
  axes.yticks.forEach((tick, i) => words.push(writeBeside(axes.ynames[i], box.left - TICK - 4, toY(tick), font)));
  if (axes.xlabel) words.push(writeBelow(axes, bottom + TICK + 2 + 2.45 * font));
  if (axes.title) words.push(write(axes.title, box.left + box.width / 2, box.top - 0.6 * font, { font: 1.08 * font }));
  if (axes.ylabel) {
    const [x, y] = [axes.outer.left + 0.95 * font, box.top + box.height / 2];
    words.push(write(axes.ylabel, x, y, { font, turn: `rotate(-90 ${short(x)} ${short(y)})` }));
  }
  return words.join("");
}

/** The label of the x-axis, in its middle as far as that leaves it on the sheet. */
function writeBelow({ xlabel, outer, box, sheet: { font } }, y) {
  const wide = textWidth(xlabel, font), fits = Math.min(1, outer.width / (wide + 2)), half = (fits * wide) / 2 + 1;
  const x = Math.max(outer.left + half, Math.min(outer.left + outer.width - half, box.left + box.width / 2));
  return write(xlabel, x, y, { font: fits * font });
}

/** What is drawn inside the axes is cut off at their limits: an inner `svg` does so without an id. */
export function inside({ box }, ...parts) {
  const place = [box.left, box.top, box.width, box.height].map(short);
  const [x, y, width, height] = place;
  return `<svg x="${x}" y="${y}" width="${width}" height="${height}" viewBox="${place.join(" ")}">${parts.join("")}</svg>`;
}

// ---- what stands on the axes --------------------------------------------------------------------

/** The attributes of a line of a role, whose dashes count in widths of the line. */
function stroke({ color, dash = [] }, width) {
  const dashes = dash.length ? ` stroke-dasharray="${dash.map((part) => short(part * width)).join(" ")}"` : "";
  return `stroke="${color}" stroke-width="${short(width)}" fill="none" stroke-linejoin="round"${dashes}`;
}

const pathOf = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${short(x)} ${short(y)}`).join("");

/** A curve through points of the axes; `width` in pixels, by default that of the sheet. */
export function drawCurve(axes, xs, ys, look, width = axes.sheet.stroke) {
  return `<path d="${pathOf(xs.map((x, i) => [axes.toX(x), axes.toY(ys[i])]))}" ${stroke(look, width)}/>`;
}

/** The area between two curves over the same points. */
export function fillBetween(axes, xs, low, high, color, opacity) {
  const there = xs.map((x, i) => [axes.toX(x), axes.toY(high[i])]), back = xs.map((x, i) => [axes.toX(x), axes.toY(low[i])]);
  return `<path d="${pathOf([...there, ...back.reverse()])}Z" fill="${color}" fill-opacity="${opacity}"/>`;
}

/** A bar between two corners; with `hatch` in its colour on white, so that it is told from a full one without colour. */
export function drawBar(axes, [x1, x2], [y1, y2], color, hatch = false) {
  const [left, right] = [x1, x2].map(axes.toX).sort((a, b) => a - b);
  const [top, bottom] = [y1, y2].map(axes.toY).sort((a, b) => a - b);
  const place = `x="${short(left)}" y="${short(top)}" width="${short(right - left)}" height="${short(bottom - top)}"`;
  if (!hatch) return `<rect ${place} fill="${color}"/>`;
  const lines = [], high = bottom - top, ends = `${short(left)} ${short(top)} ${short(right - left)} ${short(high)}`;
  for (let x = left - high; x < right; x += 10) lines.push(`M${short(x)} ${short(bottom)}l${short(high)} ${short(-high)}`);
  const hatching = `<svg ${place} viewBox="${ends}"><path d="${lines.join("")}" stroke="${color}" stroke-width="1.4"/></svg>`;
  const rim = `<rect ${place} fill="none" stroke="${color}" stroke-width="1.4"/>`;
  return `<rect ${place} fill="#fff"/>${right - left > 0.1 ? hatching : ""}${rim}`;
}

const OUTLINES = { // around the origin, one wide and high
  diamond: [[0, -0.71], [0.71, 0], [0, 0.71], [-0.71, 0]],
  left: [[-0.5, 0], [0.5, -0.5], [0.5, 0.5]],
  right: [[0.5, 0], [-0.5, -0.5], [-0.5, 0.5]],
  square: [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]],
  star: Array.from({ length: 10 }, (_, i) => {
    const [reach, angle] = [i % 2 ? 0.19 : 0.5, (Math.PI * (i - 2.5)) / 5];
    return [reach * Math.cos(angle), reach * Math.sin(angle)];
  }),
};

/** A mark of a shape at a point of the axes, so many pixels wide, with a rim that tells it from what is below. */
export function drawMark(axes, x, y, shape, size, color, rim = color) {
  const [left, top] = [axes.toX(x), axes.toY(y)], look = `fill="${color}" stroke="${rim}" stroke-width="1.3"`;
  if (shape === "circle") return `<circle cx="${short(left)}" cy="${short(top)}" r="${short(size / 2)}" ${look}/>`;
  const points = OUTLINES[shape].map(([a, b]) => `${short(left + a * size)},${short(top + b * size)}`);
  return `<polygon points="${points.join(" ")}" ${look}/>`;
}

// ---- words --------------------------------------------------------------------------------------

/** A text on one line; `*…*` is set in italics. */
export function write(text, x, y, { font, anchor = "middle", turn = "", color = INK }) {
  const spans = text.split("*").map(escapeText).map((part, i) => (i % 2 ? `<tspan font-style="italic">${part}</tspan>` : part));
  const where = `x="${short(x)}" y="${short(y)}" text-anchor="${anchor}" font-size="${short(font)}"`;
  return `<text ${where} fill="${color}"${turn && ` transform="${turn}"`}>${spans.join("")}</text>`;
}

/** A name of one or more lines that ends at x, its middle at the height y. */
function writeBeside(name, x, y, font) {
  const lines = name.split("\n"), first = y + 0.36 * font - ((lines.length - 1) / 2) * LINE_HEIGHT * font;
  return lines.map((line, i) => write(line, x, first + i * LINE_HEIGHT * font, { font, anchor: "end" })).join("");
}

/** How much a legend's line and the space behind it take before its words. */
export const handleOf = ({ width, font }) => (isNarrow(width) ? 2.6 : 3.4) * font;

/** How much room a legend in one column takes. */
export function legendSize(sheet, entries) {
  const lines = entries.flatMap(({ text }) => text.split("\n")), { font } = sheet;
  const widest = Math.max(...lines.map((line) => textWidth(line, font)));
  return { width: handleOf(sheet) + widest, height: 1.45 * font * lines.length };
}

/** Names beside their lines or areas (`fill`); in one row if `inRow`, which is broken where it meets `right`. */
export function drawLegend(sheet, entries, left, top, { inRow = false, right = Infinity } = {}) {
  const { font, stroke: wide } = sheet, handle = handleOf(sheet), long = short(handle - 0.6 * font), parts = [];
  let [x, y] = [left, top];
  for (const { text, look, fill } of entries) {
    const lines = text.split("\n"), width = handle + Math.max(...lines.map((line) => textWidth(line, font)));
    if (inRow && x > left && x + width > right) [x, y] = [left, y + 1.45 * font];
    const middle = y + 0.7 * font;
    const area = `x="${short(x)}" y="${short(middle - 0.4 * font)}" width="${long}" height="${short(0.8 * font)}"`;
    parts.push(fill
      ? `<rect ${area} fill="${look.color}" fill-opacity="${fill}"/>`
      : `<path d="M${short(x)} ${short(middle)}h${long}" ${stroke(look, wide)}/>`);
    const foot = (i) => middle + (0.36 + i * LINE_HEIGHT) * font;
    lines.forEach((line, i) => parts.push(write(line, x + handle, foot(i), { font, anchor: "start" })));
    if (inRow) x += width + 1.2 * font;
    else y += 1.45 * font + (lines.length - 1) * LINE_HEIGHT * font;
  }
  return parts.join("");
}

// ---- contours -----------------------------------------------------------------------------------

/**
 * The line f = level on a grid, as polylines of points (x, y), by marching squares.
 * `values[row][column]` belong to ys[row] and xs[column]; a line that meets no border is closed.
 */
export function contourLines(xs, ys, values, level) {
  const segments = [];
  const above = (r, c) => values[r][c] >= level;
  const cross = (r1, c1, r2, c2) => { // where the level lies on the side between two neighbours
    const [a, b] = [values[r1][c1], values[r2][c2]];
    const t = b === -Infinity ? 0 : a === -Infinity ? 1 : (level - a) / (b - a);
    const id = `${Math.min(r1, r2)},${Math.min(c1, c2)},${r1 === r2}`;
    return { id, at: [xs[c1] + t * (xs[c2] - xs[c1]), ys[r1] + t * (ys[r2] - ys[r1])] };
  };
  for (let r = 0; r + 1 < ys.length; r++)
    for (let c = 0; c + 1 < xs.length; c++) {
      const corners = [[r, c], [r, c + 1], [r + 1, c + 1], [r + 1, c]], ends = [];
      corners.forEach((one, i) => {
        const next = corners[(i + 1) % 4];
        if (above(...one) !== above(...next)) ends.push(cross(...one, ...next));
      });
      for (let i = 0; i + 1 < ends.length; i += 2) segments.push([ends[i], ends[i + 1]]);
    }
  return joinSegments(segments);
}

/** Pieces that share an end become one line. */
function joinSegments(segments) {
  const at = new Map(), used = new Set(), lines = [];
  segments.forEach((segment, i) => segment.forEach(({ id }) => at.set(id, [...(at.get(id) ?? []), i])));
  const goOn = (line) => {
    for (let end = line.at(-1); ; end = line.at(-1)) {
      const next = (at.get(end.id) ?? []).find((i) => !used.has(i));
      if (next === undefined) return;
      used.add(next);
      line.push(segments[next].find(({ id }) => id !== end.id) ?? end);
    }
  };
  segments.forEach((segment, i) => {
    if (used.has(i)) return;
    used.add(i);
    const line = [...segment];
    goOn(line);
    line.reverse();
    goOn(line);
    lines.push(line.map((end) => end.at));
  });
  return lines;
}

/** The borders of the region f ≥ level, each closed: beyond the grid nothing is above a level. */
export function contourRegion(xs, ys, values, level) {
  const [wide, high] = [[xs[0], ...xs, xs.at(-1)], [ys[0], ...ys, ys.at(-1)]], none = wide.map(() => -Infinity);
  return contourLines(wide, high, [none, ...values.map((row) => [-Infinity, ...row, -Infinity]), none], level);
}

/** Lines of points as one path, closed for an area. */
export function drawPath(axes, lines, attributes, closed = false) {
  const paths = lines.map((line) => pathOf(line.map(([x, y]) => [axes.toX(x), axes.toY(y)])) + (closed ? "Z" : ""));
  return `<path d="${paths.join("")}" ${attributes}/>`;
}
