// The explorer of the latent plane on a page: the notebook's own script, with the point in the address.

import { keepInAddress, keyOf } from "./address.js";
import { build } from "./controls.js";
import { letScroll, plainTable } from "./views.js";

const BINARY = ["weights", "points"];
const NAMES = ["z1", "z2"]; // of the point's coordinates in the address

/** What a notebook's kernel would hold: the traits, and who listens to them. */
function makeModel(description) {
  const traits = { ...description.traits }, listeners = new Set();
  for (const name of BINARY) traits[name] = Uint8Array.from(atob(traits[name]), (character) => character.charCodeAt(0));
  const model = {
    saved: () => {},
    get: (name) => traits[name],
    set: (name, value) => { traits[name] = value; },
    on: (_, listener) => listeners.add(listener),
    off: (_, listener) => listeners.delete(listener),
    save_changes: () => model.saved(traits.z),
    place: (z) => { traits.z = z; listeners.forEach((listener) => listener()); },
  };
  return model;
}

/** Fills the parts of a frame, as `fillExplorer`; `render` is that of the notebook's explorer. */
export function fillLatent(description, parts, render) {
  const model = makeModel(description), { limit, z: start } = description.traits, key = keyOf(description);
  const place = build("div", { class: "vae-latent" }), room = build("div", { class: "vae-table-room" });
  const table = build("details", { class: "vae-table" }, build("summary", {}, "show the points as a table"), room);
  table.addEventListener("toggle", () => room.replaceChildren(...(table.open ? [tableOfPoints(description, model)] : [])));
  letScroll(room, "the points as a table");
  parts.root.append(place, parts.status, parts.actions, table);
  render({ model, el: place });
  const plane = place.querySelector(".latent-plane");
  if (description.alt) plane.setAttribute("aria-description", description.alt);
  const pairs = () => NAMES.map((name, i) => [name, model.get("z")[i].toFixed(2)]);
  model.saved = () => { parts.say(""); keepInAddress(key, pairs()); };
  return {
    key, controls: [], pairs,
    focus: () => plane.focus({ preventScroll: true }),
    go(wanted) {
      const z = positionOnPlane(wanted, start, limit);
      model.place(z ?? [...start]);
      return Boolean(z);
    },
  };
}

/** The point that pairs name; null if they name none on the plane. */
function positionOnPlane(pairs, start, limit) {
  const wanted = new Map(pairs);
  if ([...wanted.keys()].some((name) => !NAMES.includes(name))) return null;
  const z = NAMES.map((name, i) => (wanted.has(name) ? Number(wanted.get(name).trim() || NaN) : start[i]));
  return z.every((value) => Math.abs(value) <= limit) ? z : null;
}

function tableOfPoints({ traits: { labels } }, model) {
  const bytes = model.get("points"), points = new Float32Array(bytes.slice().buffer);
  const shown = (value) => value.toFixed(2).replace("-", "−");
  const rows = labels.map((label, i) => [String(label), shown(points[2 * i]), shown(points[2 * i + 1])]);
  return plainTable(`The ${labels.length} points of the plane.`, ["class", "z₁", "z₂"], rows);
}
