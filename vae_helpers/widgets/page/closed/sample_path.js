// Notebook 5: noise that becomes samples, and the two estimates of a slope that one draw gives.

import { evenNormals, linspace } from "./../math.js";
import { drawBar, drawCurve, drawFrame, drawMark, drawSheet, fillBetween, inside, isNarrow, makeAxes, sheetOf } from "./../paper.js";

const SKY = "#56B4E9", VERMILION = "#D55E00"; // of the score function and of the path
const LOW = -30, HIGH = 40, BINS = 70; // of the histograms
const NOISE = evenNormals(20000); // for the histograms, which so show the distributions themselves

/** Score function and path, at one draw. */
function estimatesAt(mu, std, eps) {
  const at = mu + std * eps;
  return [(at ** 2 * eps) / std, 2 * at];
}

const spreadsOf = (mu, std) => [Math.sqrt(mu ** 4 / std ** 2 + 14 * mu ** 2 + 15 * std ** 2), 2 * std];

function numbersOfPath({ mu, std, eps }) {
  const [score, path] = estimatesAt(mu, std, eps), [spreadOfScore, spreadOfPath] = spreadsOf(mu, std);
  const shown = [
    ["z", mu + std * eps], ["dz/dμ", 1], ["dz/dσ", eps], ["exact", 2 * mu], ["score estimate", score],
    ["path estimate", path], ["std of score", spreadOfScore], ["std of path", spreadOfPath],
  ];
  return shown.map(([name, value]) => [name, value, ""]);
}

function drawPathAndSpread(values, { noise }, look, width) {
  const sheet = sheetOf(width), narrow = isNarrow(width), height = narrow ? 640 : 400, first = narrow ? width : 0.47 * width;
  const left = { left: 0, top: 0, width: first, height: narrow ? 310 : height };
  const right = narrow ? { left: 0, top: 330, width, height: 310 } : { left: first, top: 0, width: width - first, height };
  return [drawSheet(sheet, height, drawPaths(values, noise, look, sheet, left), drawSpread(values, sheet, right))];
}

function drawPaths({ mu, std, eps }, noise, look, sheet, room) {
  const axes = makeAxes(sheet, room, {
    x: [-4, 7], y: [-0.7, 1.7], yticks: [0, 1], ynames: ["ε ~ N(0, 1)", "z = μ + σε"],
    xlabel: "value of ε (below), of z (above)",
  });
  const line = linspace(-4, 7, 451), grey = { color: "#777777" };
  const rows = [["prior", 0, 0, 1, -0.6, "circle"], ["q", 1, mu, std, 0.6, "square"]];
  const hills = rows.map(([role, y, mean, width, up]) => {
    const hill = line.map((at) => y + up * Math.exp(-0.5 * ((at - mean) / width) ** 2));
    return fillBetween(axes, line, line.map(() => y), hill, look[role].color, 0.25);
  });
  const marks = rows.map(([role, y, mean, width, , shape]) =>
    noise.map((one) => drawMark(axes, mean + width * one, y, shape, 8, look[role].color)).join(""));
  const paths = noise.map((one) => drawCurve(axes, [one, mu + std * one], [0, 1], grey, 1.4));
  const ends = [eps, mu + std * eps], mine = drawCurve(axes, ends, [0, 1], { color: "#000" }, 4);
  const diamonds = ends.map((x, y) => drawMark(axes, x, y, "diamond", 15, "#000"));
  return inside(axes, ...hills, ...paths, ...marks, mine, ...diamonds) + drawFrame(axes);
}

function drawSpread({ mu, std, eps }, sheet, room) {
  const axes = makeAxes(sheet, room, {
    x: [LOW, HIGH], y: [-0.5, 2.2], yticks: [0, 1.3], ynames: ["path", "score\nfunction"],
    xlabel: "one-draw estimate of the slope",
  });
  const one = estimatesAt(mu, std, eps), spreads = spreadsOf(mu, std), counts = histograms(mu, std);
  const truth = drawCurve(axes, [2 * mu, 2 * mu], [-0.5, 2.2], { color: "#000" }, 2);
  const rows = [[1.3, SKY], [0, VERMILION]].map(([y, color], i) => {
    const bar = drawCurve(axes, [2 * mu - spreads[i], 2 * mu + spreads[i]], [y - 0.12, y - 0.12], { color }, 7);
    const shape = LOW < one[i] && one[i] < HIGH ? "diamond" : one[i] > 0 ? "right" : "left"; // an arrow: it has left the frame
    const at = Math.min(HIGH - 1, Math.max(LOW + 1, one[i]));
    return drawStairs(axes, counts[i], y, color) + bar + drawMark(axes, at, y - 0.28, shape, 14, color, "#000");
  });
  return inside(axes, truth, ...rows) + drawFrame(axes);
}

/** How many of the noise values fall into each bin, for both estimates. */
function histograms(mu, std) {
  const counts = [new Float64Array(BINS), new Float64Array(BINS)], scale = BINS / (HIGH - LOW);
  for (const eps of NOISE)
    estimatesAt(mu, std, eps).forEach((value, i) => {
      if (value >= LOW && value < HIGH) counts[i][Math.floor((value - LOW) * scale)]++;
    });
  return counts;
}

function drawStairs(axes, counts, y, color) {
  const most = Math.max(...counts), wide = (HIGH - LOW) / BINS;
  const bars = Array.from(counts, (count, i) =>
    count ? drawBar(axes, [LOW + i * wide, LOW + (i + 1) * wide + 0.05], [y, y + (0.8 * count) / most], color) : "");
  return bars.join("");
}

export const samplePath = {
  name: "draw_sample_path", notebook: "05_reparameterization", needs: ["noise"],
  numbers: numbersOfPath, draw: drawPathAndSpread,
};
