// Notebook 2: q beside prior and posterior, the ELBO and the gap as bars, and road e line by line.

import { averageOver, klOfNormals, linspace, logNormal, normal } from "./../math.js";
import { drawBar, drawCurve, drawFrame, drawLegend, drawSheet, fillBetween, handleOf, inside, isNarrow, makeAxes, sheetOf, textWidth } from "./../paper.js";

/** log p(x), and mean and standard deviation of the posterior, of z ~ N(0, 1), x given z ~ N(w z + b, s²). */
function exactTruth({ w, b, s, x }) {
  const variance = w ** 2 + s ** 2;
  return { logPx: logNormal(x, b, Math.sqrt(variance)), postMean: (w * (x - b)) / variance, postStd: s / Math.sqrt(variance) };
}

function tradeOf({ mean, std }, { w, b, s, x }) {
  const elbo = logNormal(x, w * mean + b, s) - (w * std) ** 2 / (2 * s ** 2) - klOfNormals(mean, std);
  const { postMean, postStd } = exactTruth({ w, b, s, x });
  return { elbo, gap: klOfNormals(mean, std, postMean, postStd) };
}

function numbersOfTrade(values, parameters) {
  const { elbo, gap } = tradeOf(values, parameters);
  return [["ELBO", elbo], ["gap", gap], ["sum", elbo + gap]];
}

/** The lines of road e, each by its own formula: an integral over q wherever an expectation is written. */
function stepsOfRoad({ mean, std }, parameters) {
  const { w, b, s, x } = parameters, { logPx, postMean, postStd } = exactTruth(parameters);
  const logQ = (z) => logNormal(z, mean, std), logPost = (z) => logNormal(z, postMean, postStd);
  const logJoint = (z) => logNormal(x, w * z + b, s) + logNormal(z, 0, 1);
  const average = (f) => averageOver(mean, std, f), elbo = average((z) => logJoint(z) - logQ(z));
  return [
    logPx,
    average(() => logPx),
    average((z) => logJoint(z) - logPost(z)),
    average((z) => (logQ(z) - logPost(z)) + (logJoint(z) - logQ(z))),
    average((z) => logQ(z) - logPost(z)) + elbo,
    elbo,
  ];
}

function drawTrade(values, parameters, look, width) {
  const sheet = sheetOf(width), narrow = isNarrow(width), height = narrow ? 420 : 270;
  const half = narrow ? { width, height: 240 } : { width: 0.49 * width, height };
  const beside = { left: 0.51 * width, top: 0, width: 0.49 * width, height };
  const below = narrow ? { left: 0, top: 240, width, height: 180 } : beside;
  return [drawSheet(sheet, height, drawGuessed(values, parameters, look, sheet, { left: 0, top: 0, ...half }),
    drawTradeBars(values, parameters, look, sheet, below))];
}

function drawGuessed({ mean, std }, parameters, look, sheet, room) {
  const { postMean, postStd } = exactTruth(parameters), z = linspace(-3, 3.5, 651), { font } = sheet;
  const axes = makeAxes(sheet, room, { x: [-3, 3.5], y: [0, 2.2], xlabel: "latent z", ylabel: "density" });
  const curves = [["prior", 0, 1], ["posterior", postMean, postStd], ["q", mean, std]].map(([role, at, spread]) => {
    const density = z.map((one) => normal(one, at, spread));
    return drawCurve(axes, z, density, look[role]) + fillBetween(axes, z, z.map(() => 0), density, look[role].color, 0.08);
  });
  const entries = ["prior", "posterior", "q"].map((text) => ({ text, look: look[text] }));
  const wide = entries.reduce((sum, { text }) => sum + handleOf(sheet) + textWidth(text, font), 2 * 1.2 * font);
  const left = axes.box.left + Math.max(4, (axes.box.width - wide) / 2);
  const legend = drawLegend(sheet, entries, left, axes.box.top, { inRow: true, right: room.left + room.width + font });
  return inside(axes, ...curves) + drawFrame(axes) + legend;
}

function drawTradeBars(values, parameters, look, sheet, room) {
  const { elbo, gap } = tradeOf(values, parameters), { logPx } = exactTruth(parameters);
  const axes = makeAxes(sheet, room, {
    x: [-10, 0], y: [-0.6, 1.6], yticks: [0, 1], ynames: ["log p(x)\nand gap", "ELBO"], xlabel: "nats",
  });
  const bars = [
    drawBar(axes, [logPx, 0], [-0.3, 0.3], look.evidence.color),
    drawBar(axes, [elbo, 0], [0.7, 1.3], look.elbo.color),
    drawBar(axes, [logPx - gap, logPx], [-0.3, 0.3], "#555555", true),
  ];
  return inside(axes, ...bars) + drawFrame(axes);
}

export const elboAndGap = {
  name: "elbo_and_gap", notebook: "02_elbo", needs: ["w", "b", "s", "x"],
  numbers: numbersOfTrade, steps: stepsOfRoad, draw: drawTrade,
};
