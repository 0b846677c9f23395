// Notebook 3: a Gaussian beside the prior, and the KL and its two parts as maps over all Gaussians.

import { linspace, LOG_2PI, normal } from "./../math.js";
import { contourLines, contourRegion, drawCurve, drawFrame, drawLegend, drawMark, drawPath, drawSheet, fillBetween, handleOf, inside, isNarrow, makeAxes, sheetOf, textWidth, write } from "./../paper.js";

const crossEntropy = (mu, logVar) => 0.5 * (LOG_2PI + Math.exp(logVar) + mu ** 2);
const minusEntropy = (_mu, logVar) => -0.5 * (LOG_2PI + logVar + 1);

// Matplotlib's "Blues", half transparent on white, between the levels: darker is higher.
const MAPS = [
  { part: "cross-entropy", value: crossEntropy, levels: [1, 2, 4, 6, 8], at: [[0, -1.8], [0, 0.8], [0, 1.8], [-3.1, -1]],
    shades: ["#fbfdff", "#f4f8fd", "#ddebf5", "#a9cee6", "#85aacf", "#8498b5"] },
  { part: "minus entropy", value: minusEntropy, levels: [-2, -1, 0], at: [[-2, 1.2], [-2, -0.8], [-2, -2.8]],
    shades: ["#fbfdff", "#e2edf7", "#90b8da", "#8498b5"] },
  { part: "KL", value: (mu, logVar) => crossEntropy(mu, logVar) + minusEntropy(mu, logVar), levels: [0.5, 1, 2, 4, 6],
    at: [[0, -1.8], [0, -2.9], [-2, 0], [2.8, 0]], shades: ["#fbfdff", "#f7fafe", "#e9f1f9", "#bedcec", "#89afd3", "#8498b5"] },
];
const MEANS = [-3.4, 3.4], LOG_VARS = [-3.4, 2.4];

function numbersOfKl({ mu, log_var }) {
  const high = crossEntropy(mu, log_var), low = minusEntropy(mu, log_var);
  return [["cross-entropy", high], ["minus entropy", low], ["KL", high + low], ["σ", Math.exp(0.5 * log_var), ""]];
}

function drawKl({ mu, log_var }, _parameters, look, width) {
  return [drawDensities(mu, log_var, look, width), drawMaps(mu, log_var, look, width)];
}

function drawDensities(mu, logVar, look, width) {
  const sheet = sheetOf(width), { font } = sheet, height = isNarrow(width) ? 220 : 210, z = linspace(-6, 6, 481);
  const room = { left: 0, top: font, width, height: height - font };
  const axes = makeAxes(sheet, room, { x: [-6, 6], y: [0, 1.9], xlabel: "z", ylabel: "density" });
  const curves = [["prior", 0, 1], ["q", mu, Math.exp(0.5 * logVar)]].map(([role, mean, std]) => {
    const density = z.map((at) => normal(at, mean, std));
    return drawCurve(axes, z, density, look[role]) + fillBetween(axes, z, z.map(() => 0), density, look[role].color, 0.08);
  });
  const entries = [{ text: "p(z)", look: look.prior }, { text: "q(z)", look: look.q }];
  const wide = 2 * handleOf(sheet) + 1.2 * font + textWidth("p(z)q(z)", font);
  const legend = drawLegend(sheet, entries, axes.box.left + (axes.box.width - wide) / 2, 0, { inRow: true });
  return drawSheet(sheet, height, inside(axes, ...curves), drawFrame(axes), legend);
}

function drawMaps(mu, logVar, look, width) {
  const sheet = sheetOf(width), narrow = isNarrow(width), wide = narrow ? width : width / 3, high = narrow ? 270 : 340;
  const maps = MAPS.map((map, i) => {
    const room = { left: narrow ? 0 : i * wide, top: narrow ? i * high : 0, width: wide, height: high };
    return drawMapUnder(map, i, sheet, room, look) + drawQ(map, sheet, room, look, mu, logVar);
  });
  return drawSheet(sheet, narrow ? 3 * high : high, ...maps);
}

function axesOfMap({ part }, sheet, room) {
  const narrower = { ...room, width: room.width - 0.4 * sheet.font };
  const xticks = room.width < 15 * sheet.font ? [-2, 0, 2] : [-3, -2, -1, 0, 1, 2, 3];
  return makeAxes(sheet, narrower, { x: MEANS, y: LOG_VARS, xticks, xlabel: "μ", ylabel: "log σ²", title: `${part} (nats)` });
}

function drawQ(map, sheet, room, look, mu, logVar) {
  const axes = axesOfMap(map, sheet, room);
  return inside(axes, drawMark(axes, mu, logVar, "circle", 15, look.q.color, "#fff"));
}

const contours = []; // of each map, computed once
const drawnMaps = new Map(); // what no slider moves, by map and width

function contoursOf(map, i) {
  const xs = linspace(...MEANS, 137), ys = linspace(...LOG_VARS, 117);
  const values = () => ys.map((y) => xs.map((x) => map.value(x, y)));
  contours[i] ??= ((grid) => map.levels.map((level) => ({
    level, lines: contourLines(xs, ys, grid, level), region: contourRegion(xs, ys, grid, level),
  })))(values());
  return contours[i];
}

function drawMapUnder(map, i, sheet, room, look) {
  const key = `${i} ${room.left} ${room.top} ${room.width} ${room.height} ${sheet.font}`;
  if (!drawnMaps.has(key)) {
    if (drawnMaps.size > 30) drawnMaps.clear(); // a window that is being resized passes many widths
    drawnMaps.set(key, drawMap(map, contoursOf(map, i), axesOfMap(map, sheet, room), look));
  }
  return drawnMaps.get(key);
}

function drawMap({ shades, at }, levels, axes, look) {
  const { left, top, width, height } = axes.box;
  const ground = `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="${shades[0]}"/>`;
  const areas = levels.map(({ region }, i) => drawPath(axes, region, `fill="${shades[i + 1]}" fill-rule="evenodd"`, true));
  const lines = levels.map((one) => drawPath(axes, one.lines, 'stroke="#4d4d4d" stroke-width="1.3" fill="none"'));
  const star = drawMark(axes, 0, 0, "star", 21, look.prior.color, look.prior.color);
  return inside(axes, ground, ...areas, ...lines, ...at.map((place) => nameLevel(axes, levels, place)), star) + drawFrame(axes);
}

/** The level of the nearest line, written at its nearest point. */
function nameLevel(axes, levels, [x, y]) {
  let best = { far: Infinity };
  for (const { level, lines } of levels)
    for (const [a, b] of lines.flat()) {
      const far = Math.hypot(axes.toX(a) - axes.toX(x), axes.toY(b) - axes.toY(y));
      if (far < best.far) best = { far, level, at: [axes.toX(a), axes.toY(b)] };
    }
  const { sheet: { font } } = axes, [left, top] = best.at, name = String(best.level).replace("-", "−");
  const wide = textWidth(name, font) + 4;
  const paper = `<rect x="${left - wide / 2}" y="${top - 0.6 * font}" width="${wide}" height="${1.2 * font}" fill="#fff"/>`;
  return paper + write(name, left, top + 0.36 * font, { font });
}

export const klParts = { name: "draw_q", notebook: "03_gaussian_kl", needs: [], numbers: numbersOfKl, draw: drawKl };
