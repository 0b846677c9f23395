// log p(x) = log ∫ p(x | z) p(z) dz on a regular grid over one or two latents: the exact answer of this model.
//
// By the trapezoidal rule, which for a smooth integrand converges geometrically (Trefethen and Weideman 2014,
// theorem 5.1): with half of the step a small error is squared. So the sums over every second point, which cost
// nothing more, tell how far the sum over all points may be off.

import { PIXELS } from "./losses.js";
import { decode, inkSum, keptDecoding, softplusSum } from "./engine.js";

export const ENOUGH = 1e-4; // nats: by no more may a finer grid change the mean over the images
export const GRIDS = { 1: [121, 241, 481, 961], 2: [61, 81, 121, 161, 241] }; // points on each axis
export const LIMIT = 6; // the grid spans [−6, 6] on each axis; beyond it the prior has a mass of 4e-9
const ORIGIN = [0, 0];
const CHUNK = 256; // points that are decoded at once
const LOG_TWO_PI = Math.log(2 * Math.PI);

/** A point of a grid with `points` on each axis, `limit` to each side of `center`: the last latent moves fastest. */
function gridPoint(index, points, latents, center, limit, z, at) {
  const step = (2 * limit) / (points - 1);
  for (let i = latents - 1, rest = index; i >= 0; i--, rest = Math.floor(rest / points)) {
    z[at + i] = center[i] - limit + step * (rest % points);
  }
}

/** Which of the 2^d coarser grids a point belongs to. */
function parityOf(index, points, latents) {
  return latents === 1 ? index % 2 : 2 * (Math.floor(index / points) % 2) + ((index % points) % 2);
}

/** Calls `visit(index, logits, from, rest)` for each point; log p(x, z) is the ink sum of the logits plus `rest`. */
function overGrid(model, points, center, limit, visit) {
  const { latents } = model,
    count = points ** latents,
    z = new Float32Array(CHUNK * latents);
  const room = keptDecoding(model, CHUNK);
  for (let start = 0; start < count; start += CHUNK) {
    const size = Math.min(CHUNK, count - start);
    for (let k = 0; k < size; k++) gridPoint(start + k, points, latents, center, limit, z, k * latents);
    const logits = decode(model, z, size, room);
    for (let k = 0; k < size; k++) {
      let square = 0;
      for (let i = 0; i < latents; i++) square += z[k * latents + i] ** 2;
      const logPrior = -0.5 * (square + latents * LOG_TWO_PI);
      visit(start + k, logits, k * PIXELS, logPrior - softplusSum(logits, k * PIXELS));
    }
  }
}

/** log p(x) of each image in nats, and for each an estimate of how far it may be off. */
export function logEvidence(model, images, points, limit = LIMIT) {
  const { latents } = model,
    groups = 2 ** latents,
    { count } = images;
  const highest = new Float64Array(count).fill(-Infinity),
    sums = new Float64Array(count * groups);
  overGrid(model, points, ORIGIN, limit, (index, logits, from, rest) => {
    const group = parityOf(index, points, latents);
    for (let b = 0; b < count; b++) {
      const joint = rest + inkSum(images, b, logits, from),
        above = joint - highest[b];
      if (above > 0) {
        // a new highest: what was summed so far is scaled to it
        const scale = Math.exp(-above);
        for (let g = 0; g < groups; g++) sums[b * groups + g] *= scale;
        highest[b] = joint;
        sums[b * groups + group] += 1;
      } else if (above > -80) sums[b * groups + group] += Math.exp(above);
    }
  });
  return sumUp(highest, sums, count, groups, latents * Math.log((2 * limit) / (points - 1)));
}

/** log p(x) by the first grid that is fine enough, from the one at `first` on, or by the finest. */
export function findGrid(model, images, first = 0) {
  const grids = GRIDS[model.latents];
  for (let at = first; ; at++) {
    const { values, errors } = logEvidence(model, images, grids[at]);
    const error = errors.reduce((x, y) => x + y, 0) / images.count;
    if (error < ENOUGH || at === grids.length - 1) return { values, error, points: grids[at], grid: at };
  }
}

function sumUp(highest, sums, count, groups, logCell) {
  const values = new Float64Array(count),
    errors = new Float64Array(count);
  for (let b = 0; b < count; b++) {
    const own = sums.subarray(b * groups, (b + 1) * groups),
      all = own.reduce((x, y) => x + y, 0);
    values[b] = highest[b] + Math.log(all) + logCell;
    const apart = Math.max(...own.map((sum) => Math.abs(Math.log((groups * sum) / all))));
    errors[b] = Math.min(apart, 10 * apart ** 2);
  }
  return { values, errors };
}

/** The posterior p(z | x) of one image at the points of a grid, as probabilities that sum to 1. */
export function posterior(model, images, row, points, limit = LIMIT, center = ORIGIN) {
  const joint = new Float64Array(points ** model.latents);
  overGrid(model, points, center, limit, (index, logits, from, rest) => {
    joint[index] = rest + inkSum(images, row, logits, from);
  });
  const highest = joint.reduce((x, y) => Math.max(x, y), -Infinity);
  let total = 0;
  for (let k = 0; k < joint.length; k++) total += joint[k] = Math.exp(joint[k] - highest);
  for (let k = 0; k < joint.length; k++) joint[k] /= total;
  return { probabilities: joint, points, center: [...center], limit };
}

/** Mean and standard deviation on each axis of probabilities on a grid. */
export function moments({ probabilities, points, center, limit }, latents) {
  const z = new Float64Array(latents),
    mean = new Float64Array(latents),
    square = new Float64Array(latents);
  probabilities.forEach((probability, index) => {
    gridPoint(index, points, latents, center, limit, z, 0);
    for (let i = 0; i < latents; i++) {
      mean[i] += probability * z[i];
      square[i] += probability * z[i] ** 2;
    }
  });
  return {
    mean: Array.from(mean),
    std: Array.from(square, (value, i) => Math.sqrt(Math.max(0, value - mean[i] ** 2))),
  };
}
