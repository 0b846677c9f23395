// What runs beside the page: training, and measuring against the exact answer. The same code serves in a worker and,
// where a page may have none, in the page itself.

import { decode, encode, evaluate, makeImages, makeModel, makeNodes, makeTraining, sigmoid } from "./engine.js";
import { findLoss } from "./losses.js";
import { findGrid, moments, posterior } from "./quadrature.js";

const COARSE = { 1: 241, 2: 61 },
  WINDOW = { 1: 201, 2: 49 }; // points on an axis, of the plane and of a closer look
const WIDTHS = 4.5; // standard deviations that a closer look shows to each side
const FAR = 6; // if q is further from the posterior, the picture shows the posterior alone

/** Steps between two that are measured: the same in each run, so that its numbers repeat. */
const measureGap = (steps) => (steps < 100 ? 10 : steps < 1000 ? 50 : 100);

/** A function that takes the page's messages; `post` takes the answers, and `slice` milliseconds are worked at a time. */
export function makeServer(post, slice) {
  const trainer = makeTrainer(post, slice),
    measured = {};
  return (message) => {
    // The weights go back: a worker that hardly makes garbage would let them pile up for minutes.
    if (message.job === "measure") post({ ...measure(message, measured.images), all: message.all });
    else if (message.job === "look") post({ ...look(message), all: message.all });
    else if (message.job === "measured images") measured.images = message.images;
    else trainer[message.job](message);
  };
}

// ---- training ---------------------------------------------------------------------------------

function makeTrainer(post, slice) {
  const channel = new MessageChannel(); // unlike setTimeout it does not wait
  let training,
    images,
    run,
    interval,
    sent = 0,
    running = false,
    nextMark = 0,
    last = Infinity;
  channel.port1.onmessage = () => running && work();

  const answer = (kind, more) => post({ kind, run, steps: training.steps, running, ...more });
  const snapshot = (kind, more) => answer(kind, { all: training.model.all.slice(), ...more });
  const imagesOf = (loss) => (findLoss(loss).form.grey ? images.grey : images.plain);

  function advance() {
    // false where it was the last step, or the objective is no number any more
    const value = training.step();
    if (!Number.isFinite(value)) {
      running = false;
      answer("diverged", { value: String(value) });
      return false;
    }
    if (training.steps >= nextMark) mark();
    if (training.steps < last) return true;
    rest();
    return false;
  }
  function mark() {
    nextMark = training.steps + measureGap(training.steps);
    snapshot("mark", { loss: training.loss, beta: training.beta });
  }
  function rest() {
    running = false;
    snapshot("state");
    mark();
  }
  function work() {
    const start = performance.now();
    while (performance.now() - start < slice) if (!advance()) return;
    if (performance.now() - sent >= interval) {
      sent = performance.now();
      snapshot("state");
    }
    channel.port2.postMessage(0);
  }
  return {
    start(message) {
      ({ run, images, interval } = message);
      running = false;
      training = makeTraining(message.options, imagesOf(message.options.loss));
      snapshot("state");
      mark();
    },
    change({ options }) {
      if (options.loss !== training.loss) training.replaceImages(imagesOf(options.loss));
      Object.assign(training, options);
    },
    images(message) {
      images = message.images;
      training.replaceImages(imagesOf(training.loss));
    },
    run({ until }) {
      if (running || training.steps >= until) return;
      last = until;
      running = true;
      work();
    },
    pause: rest,
    single() {
      last = training.steps + 1;
      advance();
    },
    stop() {
      running = false;
      channel.port1.close();
    },
  };
}

// ---- measuring --------------------------------------------------------------------------------

/** What is printed and what is true of a model, as means over the measured images. */
function measure({ run, steps, hidden, latents, all, loss, beta, grid }, { plain, grey }) {
  const model = makeModel(hidden, latents, all);
  const found = findGrid(model, plain, grid),
    numbers = evaluate(model, loss, beta, plain, grey, makeNodes(latents));
  const evidence = found.values.reduce((a, b) => a + b) / plain.count;
  return { kind: "measured", run, steps, loss, beta, ...numbers, evidence, error: found.error, grid: found.grid };
}

/** All about one image: q, the posterior where it is, its reconstruction, its log p(x). */
function look({ run, serial, hidden, latents, all, pixels, grid }) {
  const model = makeModel(hidden, latents, all),
    images = makeImages([pixels]);
  const head = encode(model, images, [0]),
    mu = Array.from(head.subarray(0, latents));
  const sigma = Array.from(head.subarray(latents), (logVar) => Math.exp(0.5 * logVar));
  const found = findGrid(model, images, grid),
    numbers = evaluate(model, "right", 1, images, images, makeNodes(latents));
  const whole = moments(posterior(model, images, 0, COARSE[latents]), latents);
  const apart = mu.map((m, i) => Math.abs(m - whole.mean[i])),
    far = apart.some((distance) => !(distance < FAR));
  const reach = whole.std.map((std, i) => (far ? WIDTHS * std : 0.5 * apart[i] + WIDTHS * Math.max(sigma[i], std)));
  const limit = Math.min(FAR, Math.max(0.2, ...reach)),
    center = whole.mean.map((m, i) => (far ? m : 0.5 * (m + mu[i])));
  const closer = posterior(model, images, 0, WINDOW[latents], limit, center);
  const image = Float32Array.from(decode(model, Float32Array.from(mu), 1), sigmoid);
  return {
    kind: "looked",
    run,
    serial,
    mu,
    sigma,
    posterior: closer,
    moments: whole,
    image,
    evidence: found.values[0],
    error: found.error,
    grid: found.grid,
    elbo: numbers.elbo,
    rate: numbers.rate,
  };
}
