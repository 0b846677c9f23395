// Explorers whose numbers and pictures are computed in the page.

import { decimals } from "./math.js";
import { twoGaussians } from "./closed/two_gaussians.js";
import { posterior } from "./closed/posterior.js";
import { elboAndGap } from "./closed/elbo.js";
import { klParts } from "./closed/kl.js";
import { samplePath } from "./closed/sample_path.js";
import { withUnit } from "./controls.js";
import { keyOf } from "./address.js";

const MODULES = [twoGaussians, posterior, elboAndGap, klParts, samplePath];
const TOLERANCE = 1e-9; // by which two equal lines of a derivation may differ
const LINE_DIGITS = 6;
const HOLDS = { "=": (d) => Math.abs(d) <= TOLERANCE, "≥": (d) => d >= -TOLERANCE, "≤": (d) => d <= TOLERANCE };

/** A kind of explorer, as `storedKind`; throws where the page has no such module or a constant is missing. */
export function computedKind(description) {
  const { controls, views, look, parameters = {} } = description;
  const module = MODULES.find((one) => keyOf(one) === keyOf(description));
  if (!module) throw new Error(`expected a module for ${keyOf(description)}, got none`);
  const missing = module.needs.filter((name) => parameters[name] === undefined);
  if (missing.length) throw new Error(`parameters: expected ${module.needs.join(", ")}, got no ${missing.join(", ")}`);
  let at = controls.map(({ start }) => start), last = 0; // where the controls stand, and which one moved last
  const valuesAt = (indices) => Object.fromEntries(controls.map(({ name, values }, i) => [name, values[indices[i]]]));
  const view = views.find(({ kind }) => kind === "numbers");
  const numbers = (values) => module.numbers(values, parameters);
  const steps = (values) => module.steps?.(values, parameters) ?? [];
  const shownNumbers = (values) => numbers(values).map(([name, value, unit]) => [name, inWords(value, unit, view)]);
  const rows = views.find(({ kind }) => kind === "steps")?.rows ?? [];
  return {
    remark: "",
    numbers, steps,
    settle(indices, moved) {
      at = indices;
      if (moved >= 0) last = moved;
      return { indices, note: "" };
    },
    look(width) {
      const values = valuesAt(at);
      return {
        pictures: module.draw(values, parameters, look, width), numbers: view ? [shownNumbers(values)] : [],
        steps: verdictsOf(steps(values), rows), rows: 0,
      };
    },
    table() {
      const along = controls[last], others = controls.filter((one) => one !== along);
      const where = others.map((one) => `${one.label} at ${withUnit(one, at[controls.indexOf(one)])}`).join(", ");
      const positions = along.values.map((_, index) => at.map((here, i) => (i === last ? index : here)));
      return {
        caption: `Along ${along.label}${where && `, with ${where}`}.`,
        rows: positions.map((position) => [position, shownNumbers(valuesAt(position))]),
      };
    },
  };
}

function inWords(value, unit, view) {
  return typeof value === "string" ? value : `${decimals(value, view.digits)} ${unit ?? view.unit}`.trim();
}

/** Each line's value as it is shown, and whether it stands in its relation to the line above. */
function verdictsOf(values, rows) {
  return values.map((value, i) => {
    const holds = Number.isFinite(value) && (i === 0 || HOLDS[rows[i].relation](values[i - 1] - value));
    return [decimals(Number(value.toFixed(9)), LINE_DIGITS), holds];
  });
}
