// The Lab: a VAE that is trained in the page, and beside what its loss prints the true ELBO and log p(x).

import { joinImages, makeImages, makeModel, unpackRows } from "./engine.js";
import { LOSSES, findLoss } from "./losses.js";
import { makeHelper } from "./helper.js";
import { PRINTED_LOOK, drawCurves, drawDifferences, drawTrade, thin } from "./chart.js";
import { decodePlane, drawPlane, drawPosterior } from "./panels.js";
import { makePad, readPicture } from "./pad.js";
import { findGrid } from "./quadrature.js";
import { makeTour } from "./tour.js";
import { drawImages, make, show } from "./paint.js";

const SIDE_OF_IMAGE = 14;
const MEASURED = 100; // test images whose ELBO and log p(x) are measured
const OFFERED = 50; // test images that can be chosen
const COPIES = 50; // of an own image that is added to the data, so that a batch in two meets it
const FRAME = 24,
  CALM = 500; // milliseconds between two states of the training; where motion is to be reduced
const LOOK_EVERY = 700; // milliseconds between two looks at the chosen image while the training runs
const SPEAK_EVERY = 10000; // milliseconds between two sentences about a training that runs
const ROWS = 40; // of the table

const START = { loss: "right", beta: 1, rate: 0.003, batch: 64, hidden: 64, latents: 2, seed: 1 };
const SLIDERS = [
  ["beta", "β, the weight of the KL", [0, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16]],
  ["rate", "learning rate", [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]],
  ["batch", "images in a batch", [16, 32, 64, 128, 256]],
  ["hidden", "hidden units", [16, 32, 64, 128]],
];
const ANEW = ["hidden", "latents", "seed"]; // what cannot be changed on the way

const key = { "data-lm-suppress-shortcuts": "true" }; // JupyterLab leaves the keys of such an element alone

// ---- the parts of the page ----------------------------------------------------------------------

function makeSlider(name, label, stops, start, changed) {
  const id = `lab-${name}-${Math.random().toString(36).slice(2)}`,
    output = make("output", { for: id });
  const input = make("input", { ...key, type: "range", id, min: 0, max: stops.length - 1, step: 1 });
  const put = (value) => {
    input.value = stops.indexOf(value);
    output.textContent = String(value);
    input.setAttribute("aria-valuetext", String(value));
  };
  input.addEventListener("input", () => {
    put(stops[input.valueAsNumber]);
    changed(name, stops[input.valueAsNumber]);
  });
  put(start);
  return { root: make("div", { class: "lab-control" }, make("label", { for: id }, label), output, input), put };
}

function makeSelect(name, label, choices, start, changed) {
  const id = `lab-${name}-${Math.random().toString(36).slice(2)}`;
  const select = make("select", { ...key, id }, ...choices.map(([value, text]) => make("option", { value }, text)));
  const kind = typeof start === "number" ? Number : String;
  select.value = start;
  select.addEventListener("change", () => changed(name, kind(select.value)));
  return {
    root: make("div", { class: "lab-control" }, make("label", { for: id }, label), select),
    put: (value) => {
      select.value = value;
    },
  };
}

function makeSeed(start, changed) {
  const id = `lab-seed-${Math.random().toString(36).slice(2)}`;
  const input = make("input", { ...key, type: "number", id, min: 0, max: 9999, step: 1, value: start });
  input.addEventListener("change", () => {
    const seed = Math.round(Math.min(9999, Math.max(0, input.valueAsNumber || 0)));
    input.value = seed;
    changed("seed", seed);
  });
  return {
    root: make("div", { class: "lab-control" }, make("label", { for: id }, "seed"), input),
    put: (value) => {
      input.value = value;
    },
  };
}

function sample({ color, dash }) {
  // a piece of a line, as a legend
  const drawn = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 56, y1: 4, y2: 4, stroke: color, "stroke-width": 3 }))
    line.setAttribute(name, value);
  if (dash.length) line.setAttribute("stroke-dasharray", dash.map((part) => 3 * part).join(" "));
  drawn.setAttribute("aria-hidden", "true");
  drawn.append(line);
  return drawn;
}

function makeNumbers(roles) {
  const rows = [
    ["printed", "printed by this loss", PRINTED_LOOK],
    ["elbo", "true ELBO", roles.elbo],
    ["evidence", "log p(x)", roles.evidence],
    ["gap", "gap: log p(x) − ELBO", null],
    ["claim", "printed − true ELBO", null],
    ["rate", "rate (KL)", null],
    ["distortion", "distortion", null],
  ];
  const values = {},
    root = make("dl", { class: "lab-numbers" });
  for (const [name, text, look] of rows) {
    values[name] = make("dd", { "data-number": name }, "–");
    root.append(make("div", {}, make("dt", {}, text), ...(look ? [sample(look)] : []), values[name]));
  }
  return {
    root,
    put: (numbers) => {
      for (const [name, element] of Object.entries(values)) element.textContent = show(numbers[name]);
    },
    clear: () => Object.values(values).forEach((element) => element.replaceChildren("–")),
  };
}

function makeFigure(name, title, caption) {
  const canvas = make("canvas", { class: `lab-${name}`, role: "img", "aria-label": title });
  return { canvas, root: make("figure", {}, make("h2", {}, title), canvas, make("figcaption", {}, caption)) };
}

/** What the numbers say, in a sentence. */
function verdictOf({ loss, beta, printed, elbo, evidence }) {
  const claim = printed - elbo;
  if (!Number.isFinite(claim)) return "The numbers have left the range of a computer's numbers.";
  if (loss === "right" && beta === 1)
    return `The printed number is the true ELBO. It is ${show(evidence - elbo)} nats below log p(x): that is the gap between q and the posterior.`;
  const why = loss === "right" ? `With β = ${beta} the printed number is not the ELBO: it` : `“${findLoss(loss).title}”`;
  const size =
    Math.abs(claim) < 0.05
      ? "prints about what the true ELBO is, at the moment"
      : `prints ${show(Math.abs(claim))} nats ${claim > 0 ? "more" : "less"} than the true ELBO`;
  const above =
    printed > evidence + 0.05 ? " That is above log p(x), where no lower bound can be: the number is wrong." : "";
  return `${why} ${size}.${above}`;
}

// ---- the Lab ------------------------------------------------------------------------------------

/** Puts the Lab into an element.
 *
 * `data` are the images, labels, colours and roles that lab.py writes. `options` may hold `settings` to begin with, and
 * `worker`, the text of the web worker; without it all is computed in the page. Gives `{ destroy, weights, points }`.
 */
export function mount(element, data, options = {}) {
  const settings = { ...START, ...options.settings },
    roles = data.roles;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const base = { plain: makeImages(unpackRows(data.train, false)), grey: makeImages(unpackRows(data.train, true)) };
  const testRows = unpackRows(data.test, false),
    test = makeImages(testRows);
  const measured = {
    plain: makeImages(testRows.slice(0, MEASURED)),
    grey: makeImages(unpackRows({ ...data.test, count: MEASURED }, true)),
  };
  let own = 0,
    images = base,
    run = 0,
    running = false,
    state = null,
    points = [],
    mark = null,
    busy = false,
    grid = 0,
    lookGrid = 0;
  let spent = 0,
    began = 0,
    spoken = 0,
    looked = null,
    lookWanted = true,
    lookedAt = 0,
    serial = 0,
    frames = [],
    asked = false;
  let changes = [],
    waiting = null,
    wide = false,
    gone = false,
    chartsDue = true,
    pace = { steps: 0, at: 0, rate: 0 };

  // -- messages

  const trainer = makeHelper(options.worker, hear),
    measurer = makeHelper(options.worker, hear);
  const HEARD = {
    state: hearState,
    mark: hearMark,
    diverged: hearDiverged,
    measured: hearMeasured,
    looked: hearLooked,
  };
  function hear(message) {
    if (!gone) HEARD[message.kind](message);
  }
  measurer.tell({ job: "measured images", images: measured });

  function hearState(message) {
    if (message.run !== run) return;
    if (running && !message.running) stopClock();
    running = message.running;
    state = { steps: message.steps, model: makeModel(settings.hidden, settings.latents, message.all) };
    root.dataset.steps = message.steps;
    root.dataset.running = running;
    trainButton.textContent = running ? "Pause" : "Train";
    askFrame();
  }
  function hearMark(message) {
    if (message.run !== run) return;
    mark = message;
    measureNext();
  }
  function hearDiverged({ run: its, steps, value }) {
    if (its !== run) return;
    running = false;
    const shown = value === "NaN" ? "NaN, not a number" : show(Number(value));
    const why =
      settings.rate > 0.1
        ? `The learning rate ${settings.rate} is too large.`
        : settings.loss === "right"
          ? "A smaller learning rate would help."
          : "Its objective may have no maximum.";
    reset();
    say(
      `At step ${show(steps, 0)} the objective became ${shown}. ${why} The model has been reset; change a setting and train again.`,
    );
  }
  function hearMeasured({ all, ...point }) {
    busy = false;
    if (point.run === run) {
      grid = point.grid;
      points = thin([...points.filter(({ steps }) => steps !== point.steps), point].sort((a, b) => a.steps - b.steps));
      showMeasured(points.at(-1));
    }
    measureNext();
  }
  function hearLooked({ all, ...found }) {
    busy = false;
    if (found.run === run && found.serial === serial) {
      looked = found;
      lookGrid = found.grid;
      showLooked();
    }
    measureNext();
  }
  function measureNext() {
    // one at a time, so that the newest comes and none queue up
    if (busy) return;
    const due = lookWanted || (running && performance.now() - lookedAt > LOOK_EVERY);
    if (state && due && (lookWanted || !mark)) {
      lookWanted = false;
      lookedAt = performance.now();
      busy = true;
      measurer.tell({
        job: "look",
        run,
        serial,
        hidden: settings.hidden,
        latents: settings.latents,
        all: state.model.all,
        pixels: pad.pixels(),
        grid: Math.max(0, lookGrid - 1),
      });
    } else if (mark) {
      busy = true;
      const { steps, all, loss, beta } = mark;
      mark = null;
      lookWanted ||= !running || performance.now() - lookedAt > LOOK_EVERY;
      measurer.tell({
        job: "measure",
        run,
        steps,
        hidden: settings.hidden,
        latents: settings.latents,
        all,
        loss,
        beta,
        grid,
      });
    }
  }

  // -- what is shown

  function askFrame() {
    if (!asked) requestAnimationFrame(drawFrame);
    asked = true;
  }
  function askCharts() {
    chartsDue = true;
    askFrame();
  }
  function drawFrame(now) {
    asked = false;
    if (!state || gone) return;
    drawPlane(
      plane.canvas,
      state.model,
      test,
      data.test.labels,
      data.colors,
      looked?.run === run && looked.mu.length === settings.latents ? looked : null,
      roles,
    );
    const { images: decodedImages, across } = decodePlane(state.model);
    drawImages(decoded.canvas, decodedImages, SIDE_OF_IMAGE, across);
    if (chartsDue) drawCharts();
    frames = [...frames.filter((time) => now - time < 1000), now];
    root.dataset.frames = Number(root.dataset.frames || 0) + 1;
    showPace(now);
  }
  function drawCharts() {
    chartsDue = false;
    drawCurves(curves.canvas, points, changes, wide, roles);
    drawDifferences(differences.canvas, points, wide, roles);
    drawTrade(trade.canvas, points, roles);
  }
  function showPace(now) {
    if (now - pace.at > 1000 || state.steps < pace.steps) {
      pace = { steps: state.steps, at: now, rate: Math.max(0, (1000 * (state.steps - pace.steps)) / (now - pace.at)) };
    }
    const time = (spent + (running ? performance.now() - began : 0)) / 1000;
    const speed = running ? `, ${show(pace.rate, 0)} steps and ${frames.length} pictures a second` : "";
    paceText.textContent = `step ${show(state.steps, 0)}, ${show(time)} s of training${speed}; ${show(images.plain.count, 0)} images`;
  }
  function showMeasured(point) {
    const gap = point.evidence - point.elbo,
      claim = point.printed - point.elbo;
    numbers.put({ ...point, gap, claim });
    verdict.textContent = `Step ${show(point.steps, 0)}: ${verdictOf(point)}`;
    doubt.textContent =
      point.error < 1e-4
        ? ""
        : ` (log p(x) may be off by up to ${show(point.error, 4)} nats: the posteriors are very narrow.)`;
    root.dataset.measured = point.steps;
    const text = `At step ${show(point.steps, 0)}: printed ${show(point.printed)}, true ELBO ${show(point.elbo)}, log p(x) ${show(point.evidence)} nats.`;
    curves.canvas.setAttribute("aria-label", `Curves over the steps of training. ${text}`);
    differences.canvas.setAttribute(
      "aria-label",
      `The gap is ${show(gap)} nats, the printed number claims ${show(claim)} nats more than the true ELBO.`,
    );
    trade.canvas.setAttribute(
      "aria-label",
      `Rate ${show(point.rate)} nats, distortion ${show(point.distortion)} nats.`,
    );
    if (!running || performance.now() - spoken > SPEAK_EVERY) {
      spoken = performance.now();
      live.textContent = text;
    }
    if (table.open) fillTable();
    askCharts();
    if (waiting && point.steps >= waiting.steps) finishWaiting(point);
  }
  function showLooked() {
    const { evidence, elbo, rate, error, mu, sigma } = looked;
    drawImages(reconstruction, looked.image, SIDE_OF_IMAGE, 1);
    drawPosterior(posteriorFigure.canvas, looked, roles);
    const place = (values, digits) => values.map((value) => show(value, digits)).join(", ");
    imageNumbers.textContent = `log p(x) = ${show(evidence)} nats, ELBO ${show(elbo)}, gap ${show(evidence - elbo)}, KL ${show(rate)}${error < 1e-4 ? "" : ` (log p(x) may be off by up to ${show(error, 4)} nats)`}`;
    imageNumbers.dataset.evidence = evidence;
    imageNumbers.dataset.error = error;
    posteriorFigure.canvas.setAttribute(
      "aria-label",
      `Posterior of the chosen image: mean ${place(looked.moments.mean, 2)}, standard deviation ${place(looked.moments.std, 2)}; q: mean ${place(mu, 2)}, σ ${place(sigma, 2)}.`,
    );
    root.dataset.looked = serial;
    askFrame();
    if (waiting?.serial === serial) finishWaiting(points.at(-1));
  }
  function fillTable() {
    const every = Math.ceil(points.length / ROWS),
      kept = points.filter((_, i) => (points.length - 1 - i) % every === 0);
    const head = ["step", "printed", "true ELBO", "log p(x)", "gap", "printed − ELBO", "rate", "distortion"];
    const rows = kept.map((p) => [
      show(p.steps, 0),
      ...[p.printed, p.elbo, p.evidence, p.evidence - p.elbo, p.printed - p.elbo, p.rate, p.distortion].map((v) =>
        show(v, 2),
      ),
    ]);
    const caption = `Nats per image, mean over the first ${MEASURED} test images${every > 1 ? `; every ${every}th of ${points.length} measurements` : ""}`;
    scroll.replaceChildren(
      make(
        "table",
        {},
        make("caption", {}, caption),
        make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
        make(
          "tbody",
          {},
          ...rows.map((row) =>
            make("tr", {}, ...row.map((text, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, text))),
          ),
        ),
      ),
    );
  }
  function say(text) {
    message.textContent = text;
  }

  // -- what the reader does

  function stopClock() {
    spent += performance.now() - began;
  }
  function reset() {
    run++;
    abandon();
    Object.assign(root.dataset, { run, steps: 0, running: false, measured: "" });
    points = [];
    changes = [];
    chartsDue = true;
    mark = looked = state = null;
    grid = lookGrid = spent = 0;
    running = false;
    lookWanted = true;
    trainButton.textContent = "Train";
    verdict.textContent = doubt.textContent = "";
    numbers.clear();
    trainer.tell({ job: "start", run, options: { ...settings }, images, interval: calm ? CALM : FRAME });
  }
  function train(until = Infinity) {
    message.textContent = "";
    began = performance.now();
    running = true;
    trainButton.textContent = "Pause";
    trainer.tell({ job: "run", until });
  }
  function pause() {
    trainer.tell({ job: "pause" });
  }
  function change(name, value) {
    settings[name] = value;
    abandon();
    showLoss();
    if (ANEW.includes(name)) {
      reset();
      say(
        `${{ hidden: "Hidden units", latents: "Latents", seed: "Seed" }[name]}: ${value}. A new model begins at step 0.`,
      );
      return;
    }
    if (state?.steps) changes.push(state.steps);
    const { loss, beta, rate, batch } = settings;
    trainer.tell({ job: "change", options: { loss, beta, rate, batch } });
    if (!running && state) pause(); // so that what this loss prints is measured at once
  }
  function putSettings(wanted) {
    Object.assign(settings, wanted);
    for (const [name, control] of Object.entries(controls)) control.put(settings[name]);
    showLoss();
    reset();
  }
  function showLoss() {
    const { formula, printed, effect } = findLoss(settings.loss);
    formulaText.textContent = formula;
    effectText.textContent = `${printed} ${effect}`;
  }
  function choose(pixels, text) {
    pad.put(pixels);
    lookAgain();
    imageText.textContent = text;
  }
  function lookAgain() {
    serial++;
    lookWanted = true;
    measureNext();
  }
  function chooseTest(number) {
    choose(testRows[number], `test image ${number + 1}, a ${data.test.labels[number]}`);
  }
  function addOwn() {
    const copies = makeImages(Array.from({ length: COPIES }, pad.pixels));
    if (!copies.starts[COPIES]) return say("There is no ink in the image yet: draw something first.");
    own++;
    images = { plain: joinImages(images.plain, copies), grey: joinImages(images.grey, copies) };
    trainer.tell({ job: "images", images });
    say(
      `Your image is in the training data now, ${COPIES} times, so that a batch of 64 meets it every second time. Train on, and look at its log p(x).`,
    );
    if (state) showPace(performance.now());
  }
  async function takeFile(file) {
    if (!file) return;
    try {
      const { pixels, told } = await readPicture(file);
      choose(pixels, "a picture of yours");
      say(told);
    } catch (error) {
      say(error.message);
    }
  }

  // -- the tour

  function finishWaiting(point) {
    const { resolve, spoil, clean } = waiting;
    if (spoil && !waiting.serial) {
      // first the image as it is, then with five black pixels
      chooseTest(0);
      waiting = { ...waiting, serial };
      return;
    }
    if (spoil && clean === undefined) {
      const pixels = pad.pixels();
      for (const j of [0, 1, 2, SIDE_OF_IMAGE, SIDE_OF_IMAGE + 1]) pixels[j] = 1;
      const before = looked.evidence;
      choose(pixels, "test image 1 with five black pixels in the corner");
      waiting = { ...waiting, serial, clean: before };
      return;
    }
    waiting = null;
    const gaps = points.map(({ evidence, elbo }) => evidence - elbo);
    resolve({
      ...point,
      gap: point.evidence - point.elbo,
      widest: Math.max(...gaps),
      narrowest: Math.min(...gaps),
      clean,
      spoiled: looked?.evidence,
    });
  }
  function abandon() {
    waiting?.resolve(null);
    waiting = null;
  }
  const tour = makeTour(
    (wanted, steps, spoil) =>
      new Promise((resolve) => {
        putSettings(wanted);
        waiting = { resolve, steps, spoil };
        if (steps) train(steps);
      }),
    (text) => {
      live.textContent = text;
    },
  );

  // -- the page

  const live = make("p", { class: "lab-spoken", role: "status", "aria-live": "polite" });
  const controls = {
    loss: makeSelect(
      "loss",
      "mistake in the loss",
      LOSSES.map(({ name, title }) => [name, title]),
      settings.loss,
      change,
    ),
    ...Object.fromEntries(
      SLIDERS.map(([name, label, stops]) => [name, makeSlider(name, label, stops, settings[name], change)]),
    ),
    latents: makeSelect(
      "latents",
      "latents",
      [
        [1, "1"],
        [2, "2"],
      ],
      settings.latents,
      change,
    ),
    seed: makeSeed(settings.seed, change),
  };
  const button = (text, action, more = {}) => {
    const made = make("button", { ...key, type: "button", ...more }, text);
    made.addEventListener("click", action);
    return made;
  };
  const trainButton = button(
    "Train",
    () => {
      abandon();
      if (running) pause();
      else train();
    },
    { class: "lab-train" },
  );
  const stepButton = button("One step", () => {
    if (!running) trainer.tell({ job: "single" });
  });
  const resetButton = button("Reset", () => {
    message.textContent = "";
    reset();
  });
  const formulaText = make("p", { class: "lab-formula" }),
    effectText = make("p", { class: "lab-small" }),
    paceText = make("p", { class: "lab-small lab-pace" });
  const message = make("p", { class: "lab-message", role: "status", "aria-live": "polite" });
  const numbers = makeNumbers(roles),
    verdict = make("span"),
    doubt = make("span", { class: "lab-small" });
  const curves = makeFigure(
    "curves",
    "What is printed, and what is true (nats per image)",
    `Over the steps of training; mean over the first ${MEASURED} test images, which are never trained on. Grey: the gap. A dotted upright: a setting was changed there.`,
  );
  const differences = makeFigure(
    "differences",
    "How far apart (nats)",
    "Dotted: the gap, log p(x) − true ELBO, which is KL(q, posterior). Solid: printed − true ELBO, 0 for a right loss.",
  );
  const plane = makeFigure(
    "plane",
    "Latent plane",
    `Means of q of ${data.test.count} test images, each as its digit where there is room. The orange ellipse: q of the chosen image, 2 σ.`,
  );
  const decoded = makeFigure(
    "decoded",
    "Decoded plane",
    "What the decoder makes of z from −3 to 3 in each direction; with one latent line by line.",
  );
  const posteriorFigure = makeFigure(
    "posterior",
    "Posterior and q of the chosen image",
    "Dark: the exact posterior. Dotted, orange: q at 1 σ and 2 σ (with one latent: its density). The better they agree, the smaller the gap.",
  );
  const trade = makeFigure(
    "trade",
    "Rate and distortion",
    "The way of the model. On the line with dots the ELBO is as it is now; log p(x) is the broken line.",
  );
  const pad = makePad(
    () => {
      testChoice.put("");
      imageText.textContent = "an image of yours";
      lookAgain();
    },
    (text) => {
      live.textContent = text;
    },
  );
  const reconstruction = make("canvas", {
    class: "lab-reconstruction",
    role: "img",
    "aria-label": "the reconstruction of the chosen image",
  });
  const imageText = make("strong"),
    imageNumbers = make("p", { class: "lab-image-numbers" });
  const testChoice = makeSelect(
    "test",
    "take a test image",
    [["", "choose …"], ...Array.from({ length: OFFERED }, (_, i) => [i, `${i + 1}: a ${data.test.labels[i]}`])],
    0,
    (_, value) => value === "" || chooseTest(Number(value)),
  );
  const fileId = `lab-file-${Math.random().toString(36).slice(2)}`,
    file = make("input", { ...key, type: "file", accept: "image/*", id: fileId });
  file.addEventListener("change", () =>
    takeFile(file.files[0]).then(() => {
      file.value = "";
    }),
  );
  const wideBox = make("input", { ...key, type: "checkbox" }),
    scroll = make("div", { class: "lab-scroll", tabindex: 0, role: "region", "aria-label": "table of the numbers" });
  wideBox.addEventListener("change", () => {
    wide = wideBox.checked;
    askCharts();
  });
  const table = make("details", {}, make("summary", {}, "The numbers as a table"), scroll);
  table.addEventListener("toggle", () => table.open && fillTable());

  const chosen = make(
    "section",
    { class: "lab-chosen", "aria-label": "the chosen image" },
    make(
      "div",
      {},
      make("h2", {}, "The chosen image: draw a digit of your own"),
      make(
        "div",
        { class: "lab-images" },
        make("figure", {}, pad.canvas, make("figcaption", {}, imageText)),
        make("figure", {}, reconstruction, make("figcaption", {}, "its reconstruction")),
      ),
      imageNumbers,
    ),
    make(
      "div",
      { class: "lab-controls" },
      make(
        "p",
        { class: "lab-row" },
        button("Clear", () => choose(new Float32Array(SIDE_OF_IMAGE ** 2), "an image of yours: draw")),
        button("Add it to the training images", addOwn),
      ),
      testChoice.root,
      make(
        "div",
        { class: "lab-control lab-file" },
        make(
          "label",
          { for: fileId },
          "or a picture of your own (or drop one anywhere here); it never leaves this page",
        ),
        file,
      ),
    ),
  );
  const root = make(
    "section",
    { class: "lab", "aria-label": "the Lab: a VAE that is trained in this page" },
    tour,
    make(
      "div",
      { class: "lab-body" },
      make(
        "div",
        { class: "lab-controls lab-go" },
        make("p", { class: "lab-row" }, trainButton, stepButton, resetButton),
        paceText,
        controls.loss.root,
        make("div", {}, make("p", { class: "lab-small" }, "What is maximised, per image:"), formulaText),
      ),
      make(
        "div",
        { class: "lab-controls lab-main" },
        message,
        numbers.root,
        make("p", { class: "lab-verdict" }, verdict, doubt),
        curves.root,
        differences.root,
        make("label", { class: "lab-row" }, wideBox, "stretch the first steps (logarithmic)"),
        table,
      ),
      make(
        "div",
        { class: "lab-controls lab-settings" },
        ...SLIDERS.map(([name]) => controls[name].root),
        make("div", { class: "lab-row" }, controls.latents.root, controls.seed.root),
        make("details", {}, make("summary", {}, "What this loss does"), effectText),
      ),
    ),
    make("div", { class: "lab-panels" }, plane.root, decoded.root, posteriorFigure.root, trade.root),
    chosen,
    live,
  );
  root.addEventListener("dragover", (event) => {
    event.preventDefault();
    root.classList.add("lab-drop");
  });
  root.addEventListener("dragleave", () => root.classList.remove("lab-drop"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    root.classList.remove("lab-drop");
    const [dropped, ...others] = event.dataTransfer.files;
    if (dropped) takeFile(dropped).then(() => others.length && say(`${message.textContent} Of several files the first was taken.`));
    else say("Nothing that was dropped is a file; expected a picture such as PNG or JPEG.");
  });
  const watch = new ResizeObserver(() => {
    askCharts();
    pad.draw();
    if (looked) drawPosterior(posteriorFigure.canvas, looked, roles);
  });
  element.append(root);
  watch.observe(root);
  showLoss();
  chooseTest(0);
  reset();
  const handle = {
    weights: () => ({ ...settings, steps: state.steps, all: Array.from(state.model.all) }),
    points: () => points.map((point) => ({ ...point })),
    pixels: () => Array.from(pad.pixels()),
    looked: () => looked,
    settled: () => !lookWanted && !mark && !busy && looked?.serial === serial,
    evidenceOf: (pixels) => findGrid(state.model, makeImages([Float32Array.from(pixels)])).values[0],
    helper: () => trainer.kind(),
    train,
    destroy() {
      gone = true;
      watch.disconnect();
      trainer.stop();
      measurer.stop();
      abandon();
      root.remove();
    },
  };
  root.lab = handle; // for whoever checks the numbers
  return handle;
}

// lab.py puts the worker's text before the joined modules, where a page has no other way to come by it.
const workerText = () => (typeof WORKER_TEXT === "string" ? WORKER_TEXT : "");

function render({ model, el }) {
  const handle = mount(el, model.get("data"), { settings: model.get("settings"), worker: workerText() });
  return () => handle.destroy();
}

const mountHere = (element, data, options = {}) => mount(element, data, { worker: workerText(), ...options });

export default {
  render,
  mount: mountHere,
  /** Puts a Lab into each place of the page that waits for one. */
  mountAll: (data) => document.querySelectorAll(".vae-lab:empty").forEach((element) => mountHere(element, data)),
};
