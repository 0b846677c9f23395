// Every loss that the Lab can train with: the right one, and mistakes that were met in lecture notes and public code.
//
// Each is an objective, in nats for one image, of the form  l · log p(x | z) ∓ β · R,  where
//   R = ½ Σ (a σ² + s σ + m μ² − c log σ² − e)  over the latents; the KL has a = m = c = e = 1 and s = 0.

export const PIXELS = 196; // 14 × 14

const RIGHT = {
  likelihood: "bernoulli", // or "squared": minus the squared error
  perPixel: false, // the log-likelihood is a mean over the pixels
  draw: "std", // z = μ + σ ε; "var": μ + σ² ε; "mean": μ; "uniform": μ + σ u with u between 0 and 1
  kl: { a: 1, s: 0, m: 1, c: 1, e: 1 },
  perLatent: false, // R is a mean over the latents
  sign: -1, // of R in the objective
  grey: false, // the pixels that are trained on are grey
};

const wrong = (change) => ({ ...RIGHT, ...change });
const wrongKl = (change) => wrong({ kl: { ...RIGHT.kl, ...change } });

// `code` is what the course's `check_elbo` says of a function with this loss; "" where it finds nothing wrong.
export const LOSSES = [
  {
    name: "right",
    title: "no mistake: the ELBO",
    code: "",
    form: RIGHT,
    formula: "log p(x | z) − β · ½ Σ (σ² + μ² − 1 − log σ²)",
    printed: "It prints the ELBO (for β = 1).",
    effect: "At β = 1 the printed number is the true ELBO, and never above log p(x).",
  },
  {
    name: "half",
    title: "½ dropped in the KL",
    code: "half",
    form: wrongKl({ a: 2, m: 2, c: 2, e: 2 }),
    formula: "log p(x | z) − β · Σ (σ² + μ² − 1 − log σ²)",
    printed: "It prints the ELBO minus the KL once more: too low.",
    effect: "The KL counts twice, as with β = 2: a somewhat worse model, that looks worse than it is.",
  },
  {
    name: "added",
    title: "KL added, not subtracted",
    code: "kl-added",
    form: wrong({ sign: 1 }),
    formula: "log p(x | z) + β · ½ Σ (σ² + μ² − 1 − log σ²)",
    printed: "It prints a number that grows without end.",
    effect:
      "The encoder is paid for running away from the prior: μ grows and grows, and the true ELBO falls without end.",
  },
  {
    name: "pixels",
    title: "mean over the pixels, not the sum",
    code: "mean-pixels",
    form: wrong({ perPixel: true }),
    formula: "(1/196) log p(x | z) − β · ½ Σ (σ² + μ² − 1 − log σ²)",
    printed: "It prints less than half a nat of loss: nats per pixel minus nats per image.",
    effect: "The KL counts 196 times. The latents die, and every image is decoded to the same blur.",
  },
  {
    name: "std",
    title: "σ where σ² belongs, in the KL",
    code: "std-for-var",
    form: wrongKl({ a: 0, s: 1 }),
    formula: "log p(x | z) − β · ½ Σ (σ + μ² − 1 − log σ²)",
    printed:
      "It prints a little less than the ELBO where σ is below 1; where σ is above 1, its “KL” can be below zero.",
    effect: "A latent that says nothing would like σ = 2, not σ = 1. Where σ is small it hardly matters.",
  },
  {
    name: "log",
    title: "log σ where log σ² belongs, in the KL",
    code: "log-std",
    form: wrongKl({ c: 0.5 }),
    formula: "log p(x | z) − β · ½ Σ (σ² + μ² − 1 − log σ)",
    printed: "It prints a number that is too high: narrow q's cost half of what they should.",
    effect: "q becomes narrower than the posterior; the latents look cheap.",
  },
  {
    name: "latents",
    title: "mean over the latents, not the sum",
    code: "mean-latent",
    form: wrong({ perLatent: true }),
    formula: "log p(x | z) − β · (1/d) · ½ Σ (σ² + μ² − 1 − log σ²)",
    printed: "With two latents it prints the ELBO plus half of the KL: too high.",
    effect: "With two latents the KL counts half, as with β = ½. With one latent it is no mistake.",
  },
  {
    name: "variance",
    title: "σ² used as σ when z is drawn",
    code: "var-for-std",
    form: wrong({ draw: "var" }),
    formula: "log p(x | z) − β KL, with z = μ + σ² ε",
    printed: "It prints a number that is too high: z is drawn too close to μ.",
    effect: "The decoder gets more exact codes than the KL has paid for. The true ELBO stays behind, and so does q.",
  },
  {
    name: "mean",
    title: "no noise: the mean is decoded",
    code: "noise-missing",
    form: wrong({ draw: "mean" }),
    formula: "log p(x | z) − β KL, with z = μ",
    printed: "It prints a number that is too high, soon above log p(x).",
    effect: "The decoder never meets noise. It uses details of z that q blurs, and the true ELBO suffers.",
  },
  {
    name: "uniform",
    title: "rand in place of randn",
    code: "noise-not-normal",
    form: wrong({ draw: "uniform" }),
    formula: "log p(x | z) − β KL, with z = μ + σ u, u between 0 and 1",
    printed: "It prints a number that is too high: the noise has a third of the spread, and never points down.",
    effect: "Training sees other z than those of q. The true ELBO is taken at z of q.",
  },
  {
    name: "squared",
    title: "squared error, not log p(x | z)",
    code: "squared-error",
    form: wrong({ likelihood: "squared" }),
    formula: "−Σ (x − λ)² − β KL",
    printed: "It prints no log-probability at all, and so looks far better.",
    effect: "An error costs too little beside the KL: less is said through z than would pay.",
  },
  {
    name: "grey",
    title: "grey pixels in the Bernoulli formula",
    code: "",
    form: wrong({ grey: true }),
    formula: "Σ (x log λ + (1 − x) log (1 − λ)) − β KL, with grey x",
    printed: "It prints a number about other images: grey ones, for which the formula is no probability.",
    effect: "No check of the loss sees it: the formula is right and the data are not. The decoder learns grey edges.",
  },
];

/** A loss by its name. */
export function findLoss(name) {
  const found = LOSSES.find((loss) => loss.name === name);
  if (!found) throw new Error(`loss: expected one of ${LOSSES.map((loss) => loss.name).join(", ")}, got ${name}`);
  return found;
}

/** What the noise becomes before it is scaled: itself, or a uniform number of the same rank. */
export function shapeNoise(draw, epsilon) {
  return draw === "uniform" ? normalCdf(epsilon) : epsilon;
}

/** By how much z moves with the noise: σ, σ² or not at all. */
export function noiseScale(draw, logVar) {
  if (draw === "mean") return 0;
  return Math.exp(draw === "var" ? logVar : 0.5 * logVar);
}

/** Φ(x), to 1e-7 (Abramowitz and Stegun 1964, 26.2.17, whose error is absolute). */
function normalCdf(x) {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * poly;
  return x < 0 ? tail : 1 - tail;
}

/** R of one latent: the KL to the prior, or what a mistake makes of it. */
export function divergence({ a, s, m, c, e }, mu, logVar) {
  return 0.5 * (a * Math.exp(logVar) + s * Math.exp(0.5 * logVar) + m * mu * mu - c * logVar - e);
}

/** The same, differentiated by log σ². */
export function divergenceSlope({ a, s, c }, logVar) {
  return 0.5 * (a * Math.exp(logVar) + 0.5 * s * Math.exp(0.5 * logVar) - c);
}
