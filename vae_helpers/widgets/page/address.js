// Where the controls stand, as a part of the page's address: #04_monte_carlo.draw_error_bars?dim=5&num_samples=100

const CLOSE = 1e-9; // of two numbers that are the same position
const WAIT = 250; // milliseconds: browsers count how often a page changes its address

export const keyOf = ({ notebook, name }) => `${notebook}.${name}`;

/** The explorer that an address names, and the position there as [name, text] pairs; null if it names none. */
export function readAddress(hash) {
  const [, key, query] = /^#(\w+\.[\w-]+)(?:\?(.*))?$/.exec(hash) ?? [];
  return key ? { key, pairs: query === undefined ? null : [...new URLSearchParams(query)] } : null;
}

export function writeAddress(key, pairs) {
  return `#${key}?${pairs.map(([name, text]) => `${name}=${encodeURIComponent(text.replace("−", "-"))}`).join("&")}`;
}

/** The pairs of a position: the texts that the readouts show. */
export const pairsOf = (controls, indices) => controls.map(({ name, texts }, i) => [name, texts[indices[i]]]);

/** The position that pairs name, controls that are not named at their start; null if there is no such position. */
export function positionOf(controls, pairs) {
  const wanted = new Map(pairs);
  if ([...wanted.keys()].some((name) => !controls.some((control) => control.name === name))) return null;
  const indexIn = (control) => (wanted.has(control.name) ? indexOf(control, wanted.get(control.name)) : control.start);
  const indices = controls.map(indexIn);
  return indices.includes(-1) ? null : indices;
}

function indexOf({ values, texts }, text) {
  const plain = text.replace("−", "-"), byText = texts.findIndex((one) => one.replace("−", "-") === plain);
  if (byText >= 0 || !plain.trim()) return byText;
  return values.findIndex((value) => typeof value === "number" && Math.abs(value - Number(plain)) < CLOSE);
}

let waiting = 0;

/** Puts a position into the address, once the reader rests, without a step in the browser's history. */
export function keepInAddress(key, pairs) {
  clearTimeout(waiting);
  waiting = setTimeout(() => history.replaceState(history.state, "", writeAddress(key, pairs)), WAIT);
}
