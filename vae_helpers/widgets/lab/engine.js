// A VAE of plain typed arrays: 196 pixels - H tanh units - d latents - H tanh units - 196 pixels, trained with Adam.
//
// All numbers of the model stand in one Float32Array, sums are made in double precision. Every matrix product is one
// of rows with rows, in tiles of 4 × 2, so that both are read in their order. Images are lists of their pixels with
// ink: five of six pixels are white and cost nothing.

import { PIXELS, divergence, divergenceSlope, findLoss, noiseScale, shapeNoise } from "./losses.js";

const BETA1 = 0.9,
  BETA2 = 0.999,
  TINY = 1e-8; // of Adam

// ---- chance -----------------------------------------------------------------------------------

/** A seeded generator (sfc32, by Chris Doty-Humphrey): the same numbers on every machine. */
export function makeGenerator(seed) {
  const state = Int32Array.of(0x9e3779b9, 0x243f6a88, seed, 1); // numbers of an array leave no garbage
  const spare = Float64Array.of(NaN);
  function next() {
    const a = state[0], b = state[1], c = state[2], sum = (a + b + state[3]) | 0;
    state[3]++;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  }
  for (let i = 0; i < 15; i++) next();
  const uniform = () => (next() + 0.5) / 2 ** 32; // neither 0 nor 1
  function normal() {
    // Box and Muller 1958: two at a time, of which one waits
    const kept = spare[0];
    spare[0] = NaN;
    if (!Number.isNaN(kept)) return kept;
    const radius = Math.sqrt(-2 * Math.log(uniform())), angle = 2 * Math.PI * uniform();
    spare[0] = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
  return { uniform, normal, below: (n) => Math.floor(uniform() * n) };
}

// ---- images -----------------------------------------------------------------------------------

/** Images as lists of the pixels that are not white: those of image i from `starts[i]` on. */
export function makeImages(rows) {
  const starts = new Int32Array(rows.length + 1);
  rows.forEach((row, i) => {
    starts[i + 1] = starts[i] + row.reduce((sum, value) => sum + (value > 0), 0);
  });
  const places = new Uint8Array(starts[rows.length]),
    values = new Float32Array(starts[rows.length]);
  rows.forEach((row, i) => {
    let at = starts[i];
    row.forEach((value, pixel) => {
      if (value > 0) {
        places[at] = pixel;
        values[at++] = value;
      }
    });
  });
  return { count: rows.length, starts, places, values };
}

/** Two lists of images as one. */
export function joinImages(first, second) {
  const rows = [first, second],
    ends = rows.map(({ starts, count }) => starts[count]);
  const joined = { count: first.count + second.count };
  joined.starts = new Int32Array(joined.count + 1);
  joined.starts.set(first.starts);
  for (let i = 0; i <= second.count; i++) joined.starts[first.count + i] = ends[0] + second.starts[i];
  joined.places = new Uint8Array(ends[0] + ends[1]);
  joined.values = new Float32Array(ends[0] + ends[1]);
  rows.forEach(({ places, values }, i) => {
    joined.places.set(places, i * ends[0]);
    joined.values.set(values, i * ends[0]);
  });
  return joined;
}

/** The images of a part of the data (see data.py) as rows of 196 numbers: 0 or 1, or in thirds where grey is asked. */
export function unpackRows({ count, upper, lower }, grey) {
  const high = bytesOf(upper),
    low = bytesOf(lower);
  const bit = (bytes, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return Array.from({ length: count }, (_, row) =>
    Float32Array.from({ length: PIXELS }, (_, j) => {
      const i = row * PIXELS + j;
      return grey ? (2 * bit(high, i) + bit(low, i)) / 3 : bit(high, i);
    }),
  );
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** The logits of the mean image, kept away from 0 and 1 by half an image. */
function meanLogits({ count, starts, places, values }) {
  const sums = new Float64Array(PIXELS).fill(0.5);
  for (let at = 0; at < starts[count]; at++) sums[places[at]] += values[at];
  return sums.map((sum) => Math.log(sum / (count + 1 - sum)));
}

// ---- the model --------------------------------------------------------------------------------

/** The names and shapes of the model's arrays, in their order in the one that holds all. */
function layersOf(hidden, latents) {
  return [
    ["encoderIn", PIXELS, hidden],
    ["encoderBias", 1, hidden], // row: a pixel
    ["head", 2 * latents, hidden],
    ["headBias", 1, 2 * latents], // rows: μ of each latent, then log σ² of each
    ["decoderIn", latents, hidden],
    ["decoderBias", 1, hidden], // row: a latent
    ["out", PIXELS, hidden],
    ["outBias", 1, PIXELS], // row: a pixel
  ];
}

/** A model: its arrays as views of `all`, which is made of zeros where none is given. */
export function makeModel(hidden, latents, all) {
  const layers = layersOf(hidden, latents);
  const size = layers.reduce((sum, [, rows, columns]) => sum + rows * columns, 0);
  const model = { hidden, latents, all: all ?? new Float32Array(size) };
  if (model.all.length !== size) throw new Error(`all: expected ${size} numbers, got ${model.all.length}`);
  let start = 0;
  for (const [name, rows, columns] of layers) model[name] = model.all.subarray(start, (start += rows * columns));
  return model;
}

/** PyTorch's scheme for linear layers, ±1/√inputs, with the last bias at the mean image. */
function initialise(model, generator, outBias) {
  const { hidden, latents } = model;
  const fill = (part, inputs) => {
    const bound = 1 / Math.sqrt(inputs);
    for (let i = 0; i < part.length; i++) part[i] = bound * (2 * generator.uniform() - 1);
  };
  (fill(model.encoderIn, PIXELS), fill(model.encoderBias, PIXELS));
  (fill(model.head, hidden), fill(model.headBias, hidden));
  (fill(model.decoderIn, latents), fill(model.decoderBias, latents));
  fill(model.out, hidden);
  model.outBias.set(outBias);
}

/** result[i, j] = Σ left[i, t] right[j, t] of `m` rows with `n` rows of length `k`. */
export function rowsByRows(left, right, result, m, n, k) {
  const wholeM = m - (m % 4),
    wholeN = n - (n % 2);
  for (let i = 0; i < wholeM; i += 4) {
    const l0 = i * k,
      l1 = l0 + k,
      l2 = l1 + k,
      l3 = l2 + k;
    for (let j = 0; j < wholeN; j += 2) {
      const r0 = j * k,
        r1 = r0 + k;
      let a0 = 0,
        a1 = 0,
        b0 = 0,
        b1 = 0,
        c0 = 0,
        c1 = 0,
        d0 = 0,
        d1 = 0;
      for (let t = 0; t < k; t++) {
        const p = right[r0 + t],
          q = right[r1 + t];
        let x = left[l0 + t];
        ((a0 += x * p), (a1 += x * q));
        x = left[l1 + t];
        ((b0 += x * p), (b1 += x * q));
        x = left[l2 + t];
        ((c0 += x * p), (c1 += x * q));
        x = left[l3 + t];
        ((d0 += x * p), (d1 += x * q));
      }
      let at = i * n + j;
      ((result[at] = a0), (result[at + 1] = a1));
      at += n;
      ((result[at] = b0), (result[at + 1] = b1));
      at += n;
      ((result[at] = c0), (result[at + 1] = c1));
      at += n;
      ((result[at] = d0), (result[at + 1] = d1));
    }
  }
  for (let i = 0; i < m; i++) {
    // what the tiles leave over
    for (let j = i < wholeM ? wholeN : 0; j < n; j++) {
      let sum = 0;
      for (let t = 0; t < k; t++) sum += left[i * k + t] * right[j * k + t];
      result[i * n + j] = sum;
    }
  }
}

function transpose(from, to, rows, columns) {
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
}

const tanh = (x) => 1 - 2 / (1 + Math.exp(2 * x)); // twice as fast as Math.tanh, and as exact once rounded to 32 bits

/** The hidden units of the encoder for the images `rows`. */
function encodeHidden(model, { starts, places, values }, rows, hidden) {
  const width = model.hidden,
    { encoderIn, encoderBias } = model;
  for (let b = 0; b < rows.length; b++) {
    const to = b * width;
    for (let u = 0; u < width; u++) hidden[to + u] = encoderBias[u];
    for (let at = starts[rows[b]], end = starts[rows[b] + 1]; at < end; at++) {
      const from = places[at] * width,
        value = values[at];
      for (let u = 0; u < width; u++) hidden[to + u] += value * encoderIn[from + u];
    }
    for (let u = 0; u < width; u++) hidden[to + u] = tanh(hidden[to + u]);
  }
}

function encodeHead(model, hidden, count, result) {
  // count × 2d: μ, then log σ²
  const width = 2 * model.latents;
  rowsByRows(hidden, model.head, result, count, width, model.hidden);
  for (let b = 0; b < count; b++) for (let i = 0; i < width; i++) result[b * width + i] += model.headBias[i];
}

function decodeHidden(model, z, count, hidden) {
  const width = model.hidden,
    { decoderIn, decoderBias, latents } = model;
  for (let b = 0; b < count; b++) {
    for (let u = 0; u < width; u++) {
      let sum = decoderBias[u];
      for (let i = 0; i < latents; i++) sum += z[b * latents + i] * decoderIn[i * width + u];
      hidden[b * width + u] = tanh(sum);
    }
  }
}

function decodeOut(model, hidden, count, logits) {
  rowsByRows(hidden, model.out, logits, count, PIXELS, model.hidden);
  for (let b = 0, at = 0; b < count; b++) for (let j = 0; j < PIXELS; j++, at++) logits[at] += model.outBias[j];
}

/** q(z | x) of images: μ and log σ² of image b from 2 d b on, in that order. */
export function encode(model, images, rows) {
  const hidden = new Float32Array(rows.length * model.hidden),
    head = new Float32Array(rows.length * 2 * model.latents);
  encodeHidden(model, images, rows, hidden);
  encodeHead(model, hidden, rows.length, head);
  return head;
}

/** Room to decode `count` latents at once, to be used again and again. */
const makeDecoding = (model, count) => ({
  decoded: new Float32Array(count * model.hidden),
  logits: new Float32Array(count * PIXELS),
});

const rooms = new Map();

/** The same room at each call, for what decodes often: garbage outside of the heap piles up for minutes in a worker. */
export function keptDecoding(model, count) {
  const key = `${model.hidden} ${count}`;
  if (!rooms.has(key)) rooms.set(key, makeDecoding(model, count));
  return rooms.get(key);
}

/** The decoder's logits for latents z, count × 196. */
export function decode(model, z, count = z.length / model.latents, { decoded, logits } = makeDecoding(model, count)) {
  decodeHidden(model, z, count, decoded);
  decodeOut(model, decoded, count, logits);
  return logits;
}

export const sigmoid = (a) => (a > 0 ? 1 / (1 + Math.exp(-a)) : 1 - 1 / (1 + Math.exp(a)));

/** Σ log(1 + exp a) over the pixels of one image: all logarithms at once, as the product is below 2¹⁹⁶. */
export function softplusSum(logits, from) {
  let product = 1,
    positive = 0;
  for (let j = from; j < from + PIXELS; j++) {
    const a = logits[j];
    if (a > 0) positive += a;
    product *= 1 + Math.exp(a > 0 ? -a : a);
  }
  return positive + Math.log(product);
}

/** Σ x a over the pixels with ink of one image. */
export function inkSum({ starts, places, values }, row, logits, from) {
  let sum = 0;
  for (let at = starts[row], end = starts[row + 1]; at < end; at++) sum += values[at] * logits[from + places[at]];
  return sum;
}

function squaredError({ starts, places, values }, row, logits, from) {
  let sum = 0;
  for (let j = from; j < from + PIXELS; j++) sum += sigmoid(logits[j]) ** 2;
  for (let at = starts[row], end = starts[row + 1]; at < end; at++) {
    sum += values[at] * (values[at] - 2 * sigmoid(logits[from + places[at]]));
  }
  return sum;
}

// ---- a step of training -----------------------------------------------------------------------

/** Room for a batch, used again at each step. */
function makeRoom(hidden, latents, batch) {
  const floats = (...sizes) => new Float32Array(sizes.reduce((product, size) => product * size, 1));
  return {
    encoded: floats(batch, hidden),
    head: floats(batch, 2 * latents),
    epsilon: floats(batch, latents),
    z: floats(batch, latents),
    decoded: floats(batch, hidden),
    logits: floats(batch, PIXELS),
    byPixel: floats(PIXELS, batch),
    byUnit: floats(hidden, batch),
    outByUnit: floats(hidden, PIXELS),
    toDecoded: floats(batch, hidden),
    toHead: floats(batch, 2 * latents),
    toEncoded: floats(hidden),
  };
}

/** z of each image, by the rule of the loss. */
function drawLatents(draw, latents, count, { head, epsilon, z }) {
  for (let b = 0; b < count; b++) {
    for (let i = 0; i < latents; i++) {
      const logVar = head[2 * b * latents + latents + i],
        at = b * latents + i;
      z[at] = head[2 * b * latents + i] + noiseScale(draw, logVar) * shapeNoise(draw, epsilon[at]);
    }
  }
}

/** The objective of a loss, averaged over a batch, and its gradient by all weights.
 *
 * `noise` holds the draws ε of the batch, count × d. The gradient is written over `gradient.all`.
 */
export function objectiveAndGradient(model, loss, beta, images, rows, noise, gradient, room) {
  const { hidden, latents } = model,
    count = rows.length,
    form = findLoss(loss).form;
  const within = room ?? makeRoom(hidden, latents, count);
  within.epsilon.set(noise);
  encodeHidden(model, images, rows, within.encoded);
  encodeHead(model, within.encoded, count, within.head);
  drawLatents(form.draw, latents, count, within);
  decodeHidden(model, within.z, count, within.decoded);
  decodeOut(model, within.decoded, count, within.logits);
  gradient.all.fill(0);
  const likelihood = likelihoodBackward(form, images, rows, within.logits) / count;
  outBackward(model, gradient, count, within);
  const divergences = headBackward(model, gradient, form, beta, count, within) / count;
  encoderBackward(model, gradient, images, rows, within);
  return likelihood + form.sign * beta * divergences;
}

/** The batch's sum of the log-likelihood or what stands for it; its slopes take the place of the logits. */
function likelihoodBackward(form, images, rows, logits) {
  const share = (form.perPixel ? 1 / PIXELS : 1) / rows.length,
    { starts, places, values } = images;
  let total = 0;
  for (let b = 0; b < rows.length; b++) {
    const from = b * PIXELS;
    if (form.likelihood === "squared") {
      total -= squaredError(images, rows[b], logits, from);
      squaredSlopes(images, rows[b], logits, from, share);
      continue;
    }
    total += inkSum(images, rows[b], logits, from);
    let product = 1,
      positive = 0;
    for (let j = from; j < from + PIXELS; j++) {
      // as softplusSum, and the slope −sigmoid by the same exponential
      const a = logits[j],
        e = Math.exp(a > 0 ? -a : a);
      if (a > 0) positive += a;
      product *= 1 + e;
      logits[j] = (a > 0 ? -share : -share * e) / (1 + e);
    }
    total -= positive + Math.log(product);
    for (let at = starts[rows[b]], end = starts[rows[b] + 1]; at < end; at++)
      logits[from + places[at]] += share * values[at];
  }
  return form.perPixel ? total / PIXELS : total;
}

function squaredSlopes({ starts, places, values }, row, logits, from, share) {
  const ink = new Float32Array(PIXELS);
  for (let at = starts[row], end = starts[row + 1]; at < end; at++) ink[places[at]] = values[at];
  for (let j = 0; j < PIXELS; j++) {
    const mean = sigmoid(logits[from + j]);
    logits[from + j] = 2 * share * (ink[j] - mean) * mean * (1 - mean);
  }
}

function outBackward(model, gradient, count, { logits, decoded, byPixel, byUnit, outByUnit, toDecoded }) {
  const width = model.hidden;
  transpose(logits, byPixel, count, PIXELS);
  transpose(decoded, byUnit, count, width);
  transpose(model.out, outByUnit, PIXELS, width);
  rowsByRows(byPixel, byUnit, gradient.out, PIXELS, width, count);
  rowsByRows(logits, outByUnit, toDecoded, count, width, PIXELS);
  for (let b = 0, at = 0; b < count; b++) for (let j = 0; j < PIXELS; j++, at++) gradient.outBias[j] += logits[at];
  for (let at = 0; at < count * width; at++) toDecoded[at] *= 1 - decoded[at] ** 2;
}

/** From the decoder's hidden units through z and the draw to μ and log σ²; gives the batch's sum of R. */
function headBackward(model, gradient, form, beta, count, { z, head, epsilon, toDecoded, toHead, encoded }) {
  const { hidden, latents } = model,
    width = 2 * latents;
  const weight = (form.sign * beta) / (form.perLatent ? latents : 1) / count;
  let total = 0;
  for (let b = 0; b < count; b++) {
    for (let u = 0; u < hidden; u++) gradient.decoderBias[u] += toDecoded[b * hidden + u];
    for (let i = 0; i < latents; i++) {
      let slope = 0;
      const at = b * latents + i;
      for (let u = 0; u < hidden; u++) {
        const back = toDecoded[b * hidden + u];
        slope += back * model.decoderIn[i * hidden + u];
        gradient.decoderIn[i * hidden + u] += back * z[at];
      }
      const mu = head[b * width + i],
        logVar = head[b * width + latents + i];
      const half = form.draw === "var" ? 1 : 0.5,
        moved = noiseScale(form.draw, logVar) * shapeNoise(form.draw, epsilon[at]);
      toHead[b * width + i] = slope + weight * form.kl.m * mu;
      toHead[b * width + latents + i] = slope * half * moved + weight * divergenceSlope(form.kl, logVar);
      total += divergence(form.kl, mu, logVar);
    }
    for (let i = 0; i < width; i++) {
      const back = toHead[b * width + i];
      gradient.headBias[i] += back;
      for (let u = 0; u < hidden; u++) gradient.head[i * hidden + u] += back * encoded[b * hidden + u];
    }
  }
  return form.perLatent ? total / latents : total;
}

function encoderBackward(model, gradient, { starts, places, values }, rows, { toHead, toEncoded, encoded }) {
  const { hidden, latents } = model,
    width = 2 * latents,
    { encoderIn, encoderBias } = gradient;
  for (let b = 0; b < rows.length; b++) {
    for (let u = 0; u < hidden; u++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += toHead[b * width + i] * model.head[i * hidden + u];
      toEncoded[u] = sum * (1 - encoded[b * hidden + u] ** 2);
      encoderBias[u] += toEncoded[u];
    }
    for (let at = starts[rows[b]], end = starts[rows[b] + 1]; at < end; at++) {
      const to = places[at] * hidden,
        value = values[at];
      for (let u = 0; u < hidden; u++) encoderIn[to + u] += value * toEncoded[u];
    }
  }
}

/** A training: `step()` moves the weights once and gives the objective of its batch before it. */
export function makeTraining({ hidden, latents, seed, batch, rate, beta, loss }, images) {
  const generator = makeGenerator(seed),
    model = makeModel(hidden, latents);
  initialise(model, generator, meanLogits(images));
  const gradient = makeModel(hidden, latents),
    first = makeModel(hidden, latents),
    second = makeModel(hidden, latents);
  const training = { model, gradient, images, batch, rate, beta, loss, steps: 0 };
  let room,
    rows,
    noise,
    order = [],
    next = 0;

  training.nextRow = () => {
    // every image once before any comes again
    if (next >= order.length) {
      order = shuffled(training.images.count, generator);
      next = 0;
    }
    return order[next++];
  };
  training.step = () => {
    if (rows?.length !== training.batch) {
      ((rows = new Int32Array(training.batch)), (noise = new Float32Array(training.batch * latents)));
      room = makeRoom(hidden, latents, training.batch);
    }
    for (let b = 0; b < rows.length; b++) rows[b] = training.nextRow();
    for (let k = 0; k < noise.length; k++) noise[k] = generator.normal();
    const value = objectiveAndGradient(
      model,
      training.loss,
      training.beta,
      training.images,
      rows,
      noise,
      gradient,
      room,
    );
    training.steps++;
    adam(model.all, gradient.all, first.all, second.all, training.rate, training.steps);
    return value;
  };
  /** Other images from the next step on; the order is drawn anew. */
  training.replaceImages = (others) => {
    training.images = others;
    next = order.length;
  };
  return training;
}

function shuffled(count, generator) {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = generator.below(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** A step uphill (Kingma and Ba 2015, algorithm 1). */
function adam(weights, slopes, first, second, rate, step) {
  const size = rate / (1 - BETA1 ** step),
    root = 1 / Math.sqrt(1 - BETA2 ** step);
  for (let i = 0; i < weights.length; i++) {
    const slope = slopes[i];
    first[i] = BETA1 * first[i] + (1 - BETA1) * slope;
    second[i] = BETA2 * second[i] + (1 - BETA2) * slope * slope;
    weights[i] += (size * first[i]) / (root * Math.sqrt(second[i]) + TINY);
  }
}

// ---- how good is it ---------------------------------------------------------------------------

/** Draws of the noise with weights that make an average over them an expectation: Gauss-Hermite quadrature with ten
 * nodes a latent, as the course's `elbo_quadrature`. So nothing that is measured trembles. */
export function makeNodes(latents) {
  const nodes = [...HERMITE.map(([x, w]) => [-x, w]).reverse(), ...HERMITE],
    count = nodes.length ** latents;
  const epsilon = new Float32Array(count * latents),
    weights = new Float64Array(count).fill(1);
  for (let k = 0; k < count; k++) {
    for (let i = 0, rest = k; i < latents; i++, rest = Math.floor(rest / nodes.length)) {
      const [x, w] = nodes[rest % nodes.length];
      epsilon[k * latents + i] = x;
      weights[k] *= w;
    }
  }
  return { epsilon, weights };
}

// The positive nodes of ten and their weights, for the standard normal (Abramowitz and Stegun 1964, table 25.10, scaled).
const HERMITE = [
  [0.48493570751549764, 0.3446423349320191],
  [1.4659890943911582, 0.13548370298026785],
  [2.484325841638955, 0.019111580500770317],
  [3.581823483551927, 0.0007580709343122174],
  [4.859462828332312, 4.310652630718287e-6],
];

/** What is printed and what is true, as means over images in nats per image.
 *
 * The same draws (`epsilon`, and their `weights`) serve the printed objective and the true ELBO, which are so the same
 * number where the loss is right. `grey` are the same images in grey, for a loss whose mistake is to be given these.
 */
export function evaluate(model, loss, beta, images, grey, { epsilon, weights }) {
  const { form } = findLoss(loss),
    { count } = images,
    rows = Int32Array.from({ length: count }, (_, i) => i);
  const head = encode(model, images, rows),
    truth = findLoss("right").form;
  const rate = divergenceSum(model, truth, head, count) / count;
  const distortion = -likelihoodSum(model, truth, images, head, epsilon, weights) / count;
  if (loss === "right") return { printed: -distortion - beta * rate, elbo: -distortion - rate, rate, distortion };
  const given = form.grey ? grey : images,
    theirs = form.grey ? encode(model, grey, rows) : head;
  const likelihood = likelihoodSum(model, form, given, theirs, epsilon, weights) / count;
  const printed = likelihood + (form.sign * beta * divergenceSum(model, form, theirs, count)) / count;
  return { printed, elbo: -distortion - rate, rate, distortion };
}

function divergenceSum({ latents }, form, head, count) {
  let sum = 0;
  for (let b = 0; b < count; b++) {
    for (let i = 0; i < latents; i++) {
      const at = 2 * b * latents + i;
      sum += divergence(form.kl, head[at], head[at + latents]);
    }
  }
  return form.perLatent ? sum / latents : sum;
}

function likelihoodSum(model, form, images, head, epsilon, weights) {
  const { latents } = model,
    draws = weights.length;
  const within = { head: new Float32Array(2 * latents * draws), epsilon, z: new Float32Array(latents * draws) };
  const room = keptDecoding(model, draws);
  let sum = 0;
  for (let b = 0; b < images.count; b++) {
    for (let k = 0; k < draws; k++)
      within.head.set(head.subarray(2 * latents * b, 2 * latents * (b + 1)), 2 * latents * k);
    drawLatents(form.draw, latents, draws, within);
    const logits = decode(model, within.z, draws, room);
    for (let k = 0; k < draws; k++) {
      const from = k * PIXELS;
      const value =
        form.likelihood === "squared"
          ? -squaredError(images, b, logits, from)
          : inkSum(images, b, logits, from) - softplusSum(logits, from);
      sum += weights[k] * value;
    }
  }
  return form.perPixel ? sum / PIXELS : sum;
}
