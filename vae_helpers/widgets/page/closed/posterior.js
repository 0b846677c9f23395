// Notebook 1: prior, likelihood and posterior of one reading, and the evidence as an area.

import { linspace, normal } from "./../math.js";
import { drawCurve, drawFrame, drawLegend, drawSheet, fillBetween, inside, isNarrow, legendSize, makeAxes, sheetOf } from "./../paper.js";

/** Mean and standard deviation of p(z | x) when z ~ N(0, prior_std²): precisions add. */
function exactPosterior({ x, noise_std, prior_std }, { weight, bias }) {
  const variance = 1 / (1 / prior_std ** 2 + weight ** 2 / noise_std ** 2);
  return [(variance * weight * (x - bias)) / noise_std ** 2, Math.sqrt(variance)];
}

function numbersOfPosterior(values, parameters) {
  const { x, noise_std, prior_std } = values, { weight, bias } = parameters;
  const [mean, std] = exactPosterior(values, parameters);
  const evidence = normal(x, bias, Math.hypot(weight * prior_std, noise_std));
  return [["posterior mean", mean], ["std", std], ["trust", 1 - std ** 2 / prior_std ** 2], ["p(x)", evidence, "/V"]];
}

function drawPosteriorPicture(values, parameters, look, width) {
  const { x, noise_std, prior_std } = values, { weight, bias } = parameters;
  const sheet = sheetOf(width), narrow = isNarrow(width), z = linspace(-5, 5, 801);
  const entries = [
    { text: "prior *p*(*z*)", look: look.prior }, { text: "likelihood *p*(*x* | *z*)", look: look.likelihood },
    { text: "posterior *p*(*z* | *x*)", look: look.posterior },
    { text: "product; its area is\nthe evidence *p*(*x*)", look: look.evidence, fill: 0.6 },
  ];
  const legend = legendSize(sheet, entries), height = narrow ? 310 + legend.height : 400;
  const room = narrow ? { width, height: 300 } : { width: width - legend.width - sheet.font, height };
  const axes = makeAxes(sheet, { left: 0, top: 0, ...room }, {
    x: [-5, 5], y: [0, 2.2], xlabel: "hidden cause *z* (no unit)", ylabel: "density",
  });
  const prior = z.map((at) => normal(at, 0, prior_std)), likelihood = z.map((at) => normal(x, weight * at + bias, noise_std));
  const posterior = z.map((at) => normal(at, ...exactPosterior(values, parameters)));
  const area = fillBetween(axes, z, z.map(() => 0), prior.map((p, i) => p * likelihood[i]), look.evidence.color, 0.6);
  const curves = [[prior, "prior"], [likelihood, "likelihood"], [posterior, "posterior"]];
  const beside = [room.width + 0.5 * sheet.font, axes.box.top + (axes.box.height - legend.height) / 2];
  const place = narrow ? [axes.box.left, 308] : beside;
  const drawn = inside(axes, ...curves.map(([curve, role]) => drawCurve(axes, z, curve, look[role])), area);
  return [drawSheet(sheet, height, drawn, drawFrame(axes), drawLegend(sheet, entries, ...place))];
}

export const posterior = {
  name: "draw_posterior", notebook: "01_bayes_rule", needs: ["weight", "bias"],
  numbers: numbersOfPosterior, draw: drawPosteriorPicture,
};
