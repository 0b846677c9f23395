// Notebook 0: a Gaussian q beside the prior, and the two parts of its KL.

import { linspace, normal } from "./../math.js";
import { drawCurve, drawFrame, drawLegend, drawSheet, inside, isNarrow, makeAxes, sheetOf } from "./../paper.js";

function numbersOfTwo({ mu, std }) {
  const fromMean = 0.5 * mu ** 2, fromWidth = 0.5 * (std ** 2 - 1 - 2 * Math.log(std));
  return [["KL", fromMean + fromWidth], ["from the mean", fromMean], ["from the width", fromWidth]];
}

function drawTwo({ mu, std }, _parameters, look, width) {
  const sheet = sheetOf(width), height = isNarrow(width) ? 300 : 400, z = linspace(-5, 5, 501);
  const axes = makeAxes(sheet, { left: 0, top: 0, width, height }, {
    x: [-5, 5], y: [0, 2], yticks: [0, 0.5, 1, 1.5, 2], xlabel: "z", ylabel: "density",
  });
  const curve = (mean, spread, role) => drawCurve(axes, z, z.map((at) => normal(at, mean, spread)), look[role]);
  const entries = [{ text: "prior N(0, 1)", look: look.prior }, { text: "q = N(μ, σ²)", look: look.q }];
  const place = [axes.box.left + sheet.font, axes.box.top + 0.4 * sheet.font];
  const legend = drawLegend(sheet, entries, ...place, { inRow: true, right: axes.box.left + axes.box.width });
  return [drawSheet(sheet, height, inside(axes, curve(0, 1, "prior"), curve(mu, std, "q")), drawFrame(axes), legend)];
}

export const twoGaussians = {
  name: "draw_two_gaussians", notebook: "00_start_here", needs: [], numbers: numbersOfTwo, draw: drawTwo,
};
