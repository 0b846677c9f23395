// What a reader can move: sliders and lists of the browser's own, each with its readout, its unit and a reset button.

let made = 0; // so that no two controls of a page have one id

/** An element with attributes and children. */
export function build(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets a property only where it differs, or screen readers would repeat themselves. */
function renew(node, properties) {
  for (const [name, value] of Object.entries(properties)) if (node[name] !== value) node[name] = value;
}

/** How a position is spoken and written in a sentence: "1.2 V". */
export const withUnit = ({ texts, unit }, index) => `${texts[index]} ${unit}`.trim();

/**
 * A row for each control. `move(i, index)` is told what the reader wants; `show(indices, highest)` shows where the
 * controls stand, `highest` being the last index that each may take.
 */
export function makeControls(controls, move) {
  const rows = controls.map((control, i) => makeRow(control, (index) => move(i, index)));
  return {
    root: build("div", { class: "vae-controls" }, ...rows.map(({ root }) => root)),
    show: (indices, highest) => rows.forEach(({ show }, i) => show(indices[i], highest[i])),
    focus: () => rows[0]?.input.focus({ preventScroll: true }),
  };
}

function makeRow(control, move) {
  const id = `vae-control-${++made}`, input = control.kind === "choice" ? makeList(control, id) : makeSlider(control, id);
  const readout = build("span", { class: "vae-readout" }), unit = build("span", { class: "vae-unit" }, control.unit);
  const reset = build("button", { class: "vae-reset", type: "button", "aria-label": `reset ${control.label}` }, "reset");
  const label = build("label", { class: "vae-label", for: id }, control.label);
  input.addEventListener("input", () => move(Number(input.value)));
  reset.addEventListener("click", () => move(control.start));
  const shown = build("span", { class: "vae-shown" }, readout, " ", unit);
  const row = { class: `vae-control vae-${control.kind}`, "data-name": control.name };
  const root = build("div", row, label, input, shown, reset);
  function show(index, highest) {
    renew(input, { value: String(index), disabled: highest < 1 });
    if (control.kind === "choice") return;
    renew(input, { max: String(Math.max(highest, 1)) });
    renew(input, { value: String(index) }); // a new end may have moved it
    const spoken = withUnit(control, index);
    if (input.getAttribute("aria-valuetext") !== spoken) input.setAttribute("aria-valuetext", spoken);
    renew(readout, { textContent: control.texts[index] });
  }
  return { root, input, show };
}

function makeSlider({ values, start }, id) {
  return build("input", { type: "range", id, min: 0, max: values.length - 1, step: 1, value: start });
}

function makeList({ texts }, id) {
  return build("select", { id }, ...texts.map((text, value) => build("option", { value }, text)));
}
