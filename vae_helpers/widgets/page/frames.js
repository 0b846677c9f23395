// Explorers whose positions were drawn beforehand: which of them to show, and what is said about it.

import { withUnit } from "./controls.js";

/** How far a stored position is from where the controls stand: their steps, as a share of their values. */
function distanceOf(controls, position, indices) {
  return controls.reduce((sum, { values }, i) => sum + Math.abs(position[i] - indices[i]) / values.length, 0);
}

/** The stored position nearest to `indices`, of those that have the moved control exactly there. */
function nearestStored({ controls, positions }, indices, moved = -1) {
  const keeps = ([position]) => moved < 0 || position[moved] === indices[moved];
  const fits = positions.map((position, i) => [position, i]).filter(keeps);
  const far = fits.map(([position]) => distanceOf(controls, position, indices));
  return fits.length ? fits[far.indexOf(Math.min(...far))][1] : -1;
}

/** A kind of explorer: where its controls may stand, and what is seen there. */
export function storedKind(description) {
  const { controls, positions, shown, frames, views } = description;
  let at = 0; // the position that is shown
  const severalNumbers = views.filter(({ kind }) => kind === "numbers").length > 1;
  const numbersAt = (i) => (severalNumbers ? shown[i].numbers : [shown[i].numbers ?? []]);
  return {
    remark: description.note ?? sentenceOfStored(description),
    settle(indices, moved) {
      const found = nearestStored(description, indices, moved);
      if (found < 0) return { indices: positions[at], note: `No position with ${named(controls[moved], indices[moved])} is stored.` };
      at = found;
      return { indices: positions[at], note: noteOfMoved(controls, indices, positions[at], moved) };
    },
    look: () => ({
      pictures: (shown[at].pictures ?? []).map((picture) => frames[picture]),
      numbers: numbersAt(at),
      steps: shown[at].steps ?? [],
      rows: shown[at].rows ?? 0,
    }),
    table: () => ({
      caption: `All ${positions.length} stored positions.`,
      rows: positions.map((position, i) => [position, numbersAt(i).flat()]),
    }),
  };
}

const named = (control, index) => `${control.label} ${withUnit(control, index)}`;

/** Which other controls had to go elsewhere, and why. */
function noteOfMoved(controls, wanted, position, moved) {
  const others = controls.map((control, i) => [control, i]).filter(([, i]) => i !== moved && wanted[i] !== position[i]);
  if (!others.length) return "";
  const way = ([control, i]) => `${control.label} went from ${withUnit(control, wanted[i])} to ${withUnit(control, position[i])}`;
  const went = others.map(way);
  const why = moved < 0
    ? "the position in the address is not stored"
    : `with ${named(controls[moved], position[moved])} it is the nearest position that is stored`;
  return `${went.join("; ")}: ${why}.`;
}

/** What a reader must know of stored positions, before a control moves by itself. */
function sentenceOfStored({ controls, positions, combine = [] }) {
  const all = controls.reduce((product, { values }) => product * values.length, 1);
  if (positions.length >= all) return `All ${all} positions of this explorer are stored.`;
  const labelOf = (name) => controls.find((control) => control.name === name)?.label ?? name;
  const pairs = combine.map(([first, second]) => `${labelOf(first)} with ${labelOf(second)}`);
  const together = pairs.length ? `; at some values also ${pairs.join(", ")}` : "";
  const stored = `${positions.length} positions of this explorer are stored: each control alone, from where all stand first`;
  return `${stored}${together}. The notebook itself has them all.`;
}
