// An explorer in the place of its still picture: its parts, what moves them, and what it tells.

import { keepInAddress, keyOf, pairsOf, positionOf, writeAddress } from "./address.js";
import { computedKind } from "./computed.js";
import { build, makeControls } from "./controls.js";
import { storedKind } from "./frames.js";
import { fillLatent } from "./latent.js";
import { makeTable, makeViews } from "./views.js";

const REST = 800; // milliseconds without a move, after which the numbers are spoken
const KINDS = { frames: storedKind, computed: computedKind };
const running = []; // the explorers of the page

/** Puts an explorer into its host; throws what is wrong with the description and leaves the host as it was. */
export function startExplorer(host, description) {
  const parts = makeParts(description);
  const fill = description.kind === "latent" ? fillLatent : fillExplorer;
  const explorer = fill(description, parts, globalThis.vaeLatent?.render);
  parts.link.addEventListener("click", () => shareLink(parts, writeAddress(explorer.key, explorer.pairs())));
  explorer.say = parts.say;
  explorer.showCoupling = makeCoupling(explorer, parts.actions);
  host.classList.add("vae-live");
  try {
    explorer.started?.(host);
  } catch (error) {
    host.classList.remove("vae-live");
    throw error;
  }
  host.replaceChildren(parts.root);
  Object.assign(host, { numbers: explorer.numbers, steps: explorer.steps }); // for whoever checks the numbers
  running.push(explorer);
  running.forEach((one) => one.showCoupling());
  return explorer;
}

function makeParts(description) {
  const status = build("p", { class: "vae-status", role: "status" });
  const spoken = build("p", { class: "vae-spoken", role: "status" });
  const link = build("button", { class: "vae-link", type: "button" }, "link to this position");
  const actions = build("div", { class: "vae-actions" }, link);
  const name = description.name.replaceAll("_", " ");
  const group = { class: `vae-explorer vae-${description.kind}`, role: "group", "aria-label": `explorer: ${name}` };
  const say = (words) => { if (status.textContent !== words) status.textContent = words; };
  return { root: build("div", group), status, spoken, link, actions, say };
}

// ---- controls and views -------------------------------------------------------------------------

/** The last index that each control may take: that of another control's value where it must not exceed it. */
function highestOf(controls, indices) {
  return controls.map(({ values, at_most: limiting }) => {
    const by = controls.findIndex(({ name }) => name === limiting), most = values.length - 1;
    return by < 0 ? most : Math.max(0, values.findLastIndex((value) => value <= controls[by].values[indices[by]]));
  });
}

function fillExplorer(description, parts) {
  const { controls, views } = description, kind = KINDS[description.kind]?.(description), key = keyOf(description);
  if (!kind) throw new Error(`kind: expected frames, computed or latent, got ${description.kind}`);
  const starts = controls.map(({ start }) => start), drawn = makeViews(views), table = makeTable(controls, kind.table);
  let indices = starts, wishes = [], asked = false, rest = 0, host = null, moves = 0;
  const inputs = makeControls(controls, (i, index) => explorer.move(i, index));
  const remark = kind.remark ? [build("p", { class: "vae-remark" }, kind.remark)] : [];
  parts.root.append(inputs.root, parts.status, ...drawn.roots, ...remark, parts.actions, table.root, parts.spoken);

  const explorer = {
    key, controls, numbers: kind.numbers, steps: kind.steps,
    pairs: () => pairsOf(controls, indices),
    focus: inputs.focus,
    started(place) { host = place; watchWidth(host, ask); settle(starts, -1); draw(); },
    move(i, index, byReader = true) { // many events, one picture a frame
      wishes = [...wishes.filter((wish) => wish.i !== i), { i, index, byReader }];
      ask();
    },
    go(pairs) {
      const named = positionOf(controls, pairs), highest = named && highestOf(controls, named);
      const wanted = named?.every((index, i) => index <= highest[i]) ? named : null;
      wishes = [];
      parts.say(settle(wanted ?? starts, -1));
      draw();
      table.refresh();
      return Boolean(wanted);
    },
  };

  function ask() {
    if (!asked) requestAnimationFrame(draw);
    asked = true;
  }
  /** Takes a position or the nearest one there is, and gives what is to be said about it. */
  function settle(wanted, moved) {
    const highest = highestOf(controls, wanted), within = wanted.map((index, i) => Math.min(index, highest[i]));
    const settled = kind.settle(within, moved);
    ({ indices } = settled);
    return settled.note;
  }
  function draw() {
    asked = false;
    for (const { i, index, byReader } of wishes.splice(0)) {
      parts.say(settle(indices.map((here, k) => (k === i ? index : here)), i));
      afterRest(byReader);
      if (!byReader) continue;
      tellPartners(explorer, i, index);
      keepInAddress(key, explorer.pairs());
    }
    inputs.show(indices, highestOf(controls, indices));
    drawn.show(kind.look(widthOf(host, views)));
    parts.root.dataset.frames = ++moves;
  }
  function afterRest(speak) {
    clearTimeout(rest);
    rest = setTimeout(() => {
      if (speak) parts.spoken.textContent = drawn.spoken();
      table.refresh();
    }, REST);
  }
  return explorer;
}

/** How wide a drawing is: all of the room, but not more than the notebook's picture. */
function widthOf(host, views) {
  const widest = Math.max(320, ...views.map(({ width }) => width ?? 0)), style = getComputedStyle(host);
  const room = host.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return Math.floor(Math.min(widest, room > 0 ? room : widest));
}

function watchWidth(host, changed) {
  let width = host.clientWidth;
  new ResizeObserver(() => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    changed();
  }).observe(host);
}

// ---- controls that mean the same ----------------------------------------------------------------

let coupled = false; // one choice for the whole page

const sameControl = (a, b) => a.name === b.name && a.label === b.label && a.unit === b.unit && a.kind === b.kind;

/** Where a control has a value, or of numbers the one next to it; -1 if it has none. */
function placeOf({ values }, value) {
  if (typeof value !== "number") return values.indexOf(value);
  const far = values.map((one) => Math.abs(one - value));
  return far.indexOf(Math.min(...far));
}

/** The other explorers of the page that have a control of the same meaning, and which of theirs it is. */
function partnersOf(explorer, control) {
  return running.filter((other) => other !== explorer)
    .map((other) => [other, other.controls.findIndex((one) => sameControl(one, control))]).filter(([, i]) => i >= 0);
}

function tellPartners(explorer, i, index) {
  if (!coupled) return;
  const control = explorer.controls[i];
  for (const [other, k] of partnersOf(explorer, control)) {
    const place = placeOf(other.controls[k], control.values[index]);
    if (place >= 0) other.move(k, place, false);
  }
}

/** A checkbox among the actions of an explorer, where there is something to couple. */
function makeCoupling(explorer, actions) {
  const box = build("input", { type: "checkbox" }), words = build("span", {});
  const label = build("label", { class: "vae-coupling" }, box, words);
  box.addEventListener("change", () => {
    coupled = box.checked;
    running.forEach((one) => one.showCoupling());
  });
  return () => {
    const shared = explorer.controls.filter((control) => partnersOf(explorer, control).length);
    words.textContent = ` move ${shared.map((control) => control.label).join(" and ")} in all explorers of this page`;
    box.checked = coupled;
    if (shared.length) actions.append(label);
    else label.remove();
  };
}

// ---- links --------------------------------------------------------------------------------------

/** Copies the address of a position; where the browser does not let a page do so, shows it. */
async function shareLink({ actions, say }, hash) {
  const address = location.href.split("#")[0] + hash;
  history.replaceState(history.state, "", hash);
  actions.querySelector(".vae-address")?.remove();
  try {
    await navigator.clipboard.writeText(address);
    say("The link to this position is copied.");
  } catch {
    const field = build("input", { class: "vae-address", readonly: "", "aria-label": "link to this position", value: address });
    actions.append(field);
    field.focus();
    field.select();
    say("Copy the link from the field.");
  }
}
