// Closed forms of Gaussians, the quadrature that they are held against, and numbers as Python writes them.

export const LOG_2PI = Math.log(2 * Math.PI);

export function linspace(low, high, num) {
  return Array.from({ length: num }, (_, i) => low + ((high - low) * i) / (num - 1));
}

/** Log-density of N(mean, std²) at x, in nats. */
export function logNormal(x, mean, std) {
  return -0.5 * (LOG_2PI + 2 * Math.log(std) + ((x - mean) / std) ** 2);
}

export const normal = (x, mean, std) => Math.exp(logNormal(x, mean, std));

/** KL(N(mean, std²), N(meanP, stdP²)) in nats. */
export function klOfNormals(mean, std, meanP = 0, stdP = 1) {
  const ratio = (std / stdP) ** 2;
  return 0.5 * (ratio + ((mean - meanP) / stdP) ** 2 - 1 - Math.log(ratio));
}

/** E[f(z)] under N(mean, std²): the trapezoidal rule on 1,201 points reaches the rounding error for smooth f. */
export function averageOver(mean, std, f) {
  const num = 1201, reach = 12, step = (2 * reach) / (num - 1);
  let sum = 0;
  for (let i = 0; i < num; i++) {
    const u = -reach + i * step;
    sum += Math.exp(-0.5 * (u * u + LOG_2PI)) * f(mean + std * u);
  }
  return sum * step;
}

/** `num` values of N(0, 1) at equal distances of probability: draws without the luck of a draw. */
export function evenNormals(num) {
  const reach = 6, fine = linspace(-reach, reach, 12001), step = fine[1] - fine[0], values = [];
  let below = 0, k = 0;
  for (let i = 0; i < num; i++) {
    const wanted = (i + 0.5) / num;
    for (let here; k < fine.length - 1 && below + (here = step * normal(fine[k] + step / 2, 0, 1)) < wanted; k++) below += here;
    values.push(fine[k] + (wanted - below) / normal(fine[k] + step / 2, 0, 1));
  }
  return values;
}

/** The exact decimals of a double show whether it lies halfway; Python then rounds to the even digit. */
function fixedLikePython(number, digits) {
  const shown = number.toFixed(digits), exact = Math.abs(number).toFixed(100);
  const cut = exact.indexOf(".") + 1 + digits, kept = exact.slice(0, cut).replace(/\.$/, "");
  const halfway = Math.abs(number) < 1e15 && /^50*$/.test(exact.slice(exact.indexOf(".") + 1 + digits));
  return halfway && Number(kept.at(-1)) % 2 === 0 ? (number < 0 ? "-" : "") + kept : shown;
}

/** A number with so many decimals, and a minus sign as it is printed, but none before a zero. */
export function decimals(number, digits) {
  const text = fixedLikePython(number, digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
