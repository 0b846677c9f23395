// What follows the controls: pictures, numbers and the lines of a derivation.

import { build } from "./controls.js";

/** The views of an explorer in its order; `show(seen)` brings all up to date, `numbers()` says them in words. */
export function makeViews(views) {
  const parts = views.map((view) => MAKERS[view.kind](view));
  const counts = { picture: 0, numbers: 0, steps: 0 }, places = views.map(({ kind }) => counts[kind]++);
  return {
    roots: parts.map(({ root }) => root),
    show: (seen) => parts.forEach((part, i) => part.show(seen, places[i])),
    spoken: () => parts.flatMap(({ root }) => [...root.querySelectorAll(".vae-number")]).map((one) => one.textContent).join(", "),
  };
}

const MAKERS = { picture: makePicture, numbers: makeNumbers, steps: makeSteps };

const titleOf = ({ title }) => (title ? [build("p", { class: "vae-title" }, title)] : []);

/** An image from its address, or a drawing from its text. */
function makePicture(view) {
  const { alt, width, height, pixels } = view;
  const image = build("img", { class: `vae-picture${pixels ? " vae-pixels" : ""}`, alt, width, height, decoding: "sync" });
  const drawing = build("div", { class: "vae-drawing" }), sheet = makeSheet(image, alt);
  const root = build("div", { class: "vae-view" }, ...titleOf(view));
  let shown = "";
  function show({ pictures }, place) {
    const picture = pictures[place] ?? "";
    if (picture === shown) return;
    shown = picture;
    if (picture.startsWith("<svg")) showDrawing(drawing, picture, alt);
    else image.src = picture;
    const node = picture.startsWith("<svg") ? drawing : sheet;
    if (node.parentElement !== root) root.append(node);
  }
  return { root, show };
}

/** An image that a phone shows small, and a button there that shows it in its own size, to be scrolled. */
function makeSheet(image, alt) {
  const button = build("button", { class: "vae-enlarge", type: "button", "aria-pressed": "false" }, "larger picture");
  const room = build("div", { class: "vae-sheet" }, image);
  letScroll(room, alt);
  button.addEventListener("click", () => button.setAttribute("aria-pressed", String(room.classList.toggle("vae-large"))));
  return build("div", {}, room, button);
}

function showDrawing(drawing, text, alt) {
  drawing.innerHTML = text;
  drawing.firstElementChild.setAttribute("role", "img");
  drawing.firstElementChild.setAttribute("aria-label", alt);
}

function makeNumbers() {
  const root = build("p", { class: "vae-numbers" });
  let shown = [];
  function show({ numbers }, place) {
    const pairs = numbers[place] ?? [];
    if (pairs.map(([name]) => name).join("\n") !== shown.map(({ name }) => name).join("\n")) {
      shown = pairs.map(([name]) => ({ name, value: build("b", {}) }));
      root.replaceChildren(...shown.flatMap(({ name, value }) =>
        [build("span", { class: "vae-number", "data-name": name }, `${name} `, value), " "]));
    }
    pairs.forEach(([, value], i) => { if (shown[i].value.textContent !== value) shown[i].value.textContent = value; });
  }
  return { root, show };
}

// ---- derivations ----------------------------------------------------------------------------

/** A table whose formulas are set once, or anew where they themselves depend on a control, and whose values move. */
function makeSteps(view) {
  const root = build("div", { class: "vae-steps", role: "table" });
  const sets = view.rowsets ?? [view.rows], titles = view.titles ?? sets.map(() => view.title);
  let shown = -1, values = [];
  function show({ steps, rows }) {
    if (rows !== shown) {
      const lines = sets[rows].map(makeLine);
      values = lines.map(({ value }) => value);
      const head = build("div", { role: "row" }, build("div", { role: "columnheader", class: "vae-title" }, titles[rows]));
      root.setAttribute("aria-label", titles[rows]);
      root.replaceChildren(head, ...lines.map((line) => line.root));
      typeset(lines.map(({ formula }) => formula));
      shown = rows;
    }
    steps.forEach(([value, holds], i) => {
      const words = `${value} ${holds ? "✓" : "✗ does not hold"}`;
      if (values[i].textContent !== words) values[i].textContent = words;
    });
  }
  return { root, show };
}

function makeLine({ relation, latex, reason }) {
  const tex = { class: "tex2jax_process mathjax_process", "data-tex": latex }, formula = build("span", tex, build("code", {}, latex));
  const cell = build("div", { class: "vae-formula" }, `${relation} `, formula), value = build("b", {});
  letScroll(cell, "formula");
  const root = build("div", { role: "row", class: "vae-line" }, build("div", { role: "cell", class: "vae-formula-cell" }, cell),
    build("div", { role: "cell", class: "vae-reason" }, reason), build("div", { role: "cell", class: "vae-value" }, value));
  return { root, formula, value };
}

let typesetting = Promise.resolve(); // MathJax takes one thing at a time

/** Sets formulas by MathJax once it has set the page; where the page has none, they stay as TeX. */
function typeset(formulas) {
  const set = async () => {
    if (document.readyState !== "complete") await new Promise((done) => window.addEventListener("load", done, { once: true }));
    await window.MathJax?.startup?.promise;
    if (!window.MathJax?.typesetPromise) return;
    const seen = formulas.filter((node) => node.isConnected); // others have taken the place of the rest meanwhile
    seen.forEach((node) => { node.textContent = `\\(\\displaystyle ${node.dataset.tex}\\)`; });
    await window.MathJax.typesetPromise(seen);
  };
  typesetting = typesetting.then(set).catch((error) => console.error(error)); // one formula must not stop the others
}

/** What is too wide takes the focus, and the arrow keys scroll it. */
export function letScroll(node, name) {
  const region = { tabindex: "0", role: "region", "aria-label": name };
  new ResizeObserver(() => {
    const wide = node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + 1;
    for (const [key, value] of Object.entries(region)) {
      if (!wide) node.removeAttribute(key);
      else if (node.getAttribute(key) !== value) node.setAttribute(key, value);
    }
  }).observe(node);
}

// ---- numbers as a table -----------------------------------------------------------------------

/** A table that is made when a reader opens it; `refresh()` makes it anew while it is open. */
export function makeTable(controls, contents) {
  const room = build("div", { class: "vae-table-room" });
  const root = build("details", { class: "vae-table" }, build("summary", {}, "show the numbers as a table"), room);
  const refresh = () => { if (root.open) room.replaceChildren(tableOf(contents())); };
  root.addEventListener("toggle", () => (root.open ? refresh() : room.replaceChildren()));
  letScroll(room, "the numbers as a table");
  return { root, refresh };

  function tableOf({ caption, rows }) {
    const names = [...new Set(rows.flatMap(([, numbers]) => numbers.map(([name]) => name)))];
    const heads = [...controls.map(({ label, unit }) => (unit ? `${label} (${unit})` : label)), ...names];
    const body = rows.map(([position, numbers]) => {
      const values = new Map(numbers);
      return [...controls.map(({ texts }, i) => texts[position[i]]), ...names.map((name) => values.get(name) ?? "")];
    });
    return plainTable(caption, heads, body);
  }
}

export function plainTable(caption, heads, rows) {
  const cells = (row) => build("tr", {}, ...row.map((text) => build("td", {}, text)));
  return build("table", {}, build("caption", {}, caption),
    build("thead", {}, build("tr", {}, ...heads.map((head) => build("th", { scope: "col" }, head)))),
    build("tbody", {}, ...rows.map(cells)));
}
