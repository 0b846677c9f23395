// Shows a widget in place of its still picture, and looks after it: names for screen readers, keys
// that stay with the controls, sizes that fit the screen, a note when the kernel is gone.

const ASK_EVERY = 1000, NO_ANSWER = 5000; // milliseconds: how often a kernel is asked, and when the page says that it is silent
const COMPACT = 600, TINY = 340; // heights of the room below which an explorer draws in
const SMALLEST = 0.5; // of a picture's size, before what stands below it has to be scrolled to

function initialize({ model }) {
  const id = model.get("view"), places = new Map(); // where the widget stands: its host and how to leave it
  const look = () => {
    for (const still of document.querySelectorAll(`[data-vae-view="${id}"]`))
      if (!places.has(still)) place(still);
  };
  async function place(still) {
    places.set(still, () => {});
    try {
      const manager = model.widget_manager;
      while (!manager.has_model(id)) await pause(50); // after a reload they come one by one
      const view = await manager.create_view(await manager.get_model(id));
      const host = Object.assign(document.createElement("div"), { className: "vae-stage" });
      still.before(host);
      view.luminoWidget.constructor.attach(view.luminoWidget, host);
      still.hidden = true;
      const room = scroller(host), alts = model.get("alts");
      bringIntoView(host, room);
      const ends = [keepKeys(host), fit(host, room), nameParts(host, alts), watchKernel(host, model)];
      places.set(still, () => {
        ends.forEach((end) => end());
        if (!host.isConnected) document.body.append(host); // Lumino only lets go what is in the page
        view.remove();
        host.remove();
        still.hidden = false;
      });
      for (let tries = 0; tries < 50 && !host.querySelector(".noUi-handle, select, canvas"); tries++) await pause(100);
      model.set("seen", { handles: host.querySelectorAll(".noUi-handle").length });
      model.save_changes();
    } catch (error) {
      const textContent = `The sliders could not be shown (${error}). Notebook 0 has a doctor.`;
      still.append(Object.assign(document.createElement("p"), { textContent }));
    }
  }
  const watch = new MutationObserver(look);
  watch.observe(document.body, { childList: true, subtree: true });
  look();
  return () => { watch.disconnect(); places.forEach((leave) => leave()); };
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// ---- keys -----------------------------------------------------------------------------------

/** Keys pressed on a control stay there; a click elsewhere gives them back to the notebook. */
function keepKeys(host) {
  // JupyterLab takes no key from what carries this mark itself; its ancestors' do not count.
  host.addEventListener("focusin", (event) => set(event.target, { "data-lm-suppress-shortcuts": "true" }));
  const leave = (event) => {
    if (host.contains(document.activeElement) && !host.contains(event.target)) document.activeElement.blur();
  };
  document.addEventListener("pointerdown", leave, true);
  return () => document.removeEventListener("pointerdown", leave, true);
}

// ---- names ----------------------------------------------------------------------------------

const text = (node) => (node ? node.textContent.trim() : "");

/** What the row of a control says: its label, where it stands, and the unit. */
const words = (row) => [".widget-label:not(.vae-unit)", ".widget-readout, select", ".vae-unit"].map((part) => {
  const node = row.querySelector(part);
  return text(node?.selectedOptions ? node.selectedOptions[0] : node);
});

/** Sets attributes, but only what differs, or the watching would never end. */
function set(node, attributes) {
  for (const [key, value] of Object.entries(attributes))
    if (node.getAttribute(key) !== value) node.setAttribute(key, value);
}

/** Names what screen readers meet: sliders, their numbers, pictures and progress bars. */
function nameParts(host, alts) {
  const look = () => {
    for (const row of host.querySelectorAll(".vae-control")) {
      const [label, value, unit] = words(row), readout = row.querySelector(".widget-readout");
      const handle = row.querySelector(".noUi-handle");
      if (handle) set(handle, { "aria-label": label, "aria-valuetext": `${value} ${unit}`.trim() });
      if (readout?.isContentEditable) set(readout, { role: "textbox", "aria-label": `${label}, as a number` });
    }
    host.querySelectorAll("img").forEach((image, number) => set(image, { alt: alts[number] ?? "" })); // its class comes later
    for (const bar of host.querySelectorAll(".progress")) {
      const now = String(Math.round(parseFloat(bar.firstElementChild?.style.width) || 0));
      set(bar, { role: "progressbar", "aria-label": "progress", "aria-valuenow": now });
    }
  };
  const watch = new MutationObserver(look);
  watch.observe(host, {
    subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ["aria-valuetext"],
  });
  look();
  return () => watch.disconnect();
}

// ---- sizes ----------------------------------------------------------------------------------

/** The part of the page that scrolls the host: the outermost, since outputs scroll sideways, too. */
function scroller(host) {
  let outermost = document.scrollingElement;
  for (let node = host.parentElement; node && node !== document.body; node = node.parentElement)
    if (/auto|scroll/.test(getComputedStyle(node).overflowY) && node.clientHeight) outermost = node;
  return outermost;
}

const pictures = (host) => [...host.querySelectorAll("img.vae-picture")].filter((image) => image.getClientRects().length);

/** Fits the widget to the height of the room, again after whatever may change either. */
function fit(host, room) {
  let asked = false;
  function resize() {
    asked = false;
    if (!host.isConnected || !host.clientWidth) return;
    const height = Math.min(room.clientHeight, window.innerHeight) - 6;
    host.classList.toggle("vae-compact", height < COMPACT);
    host.classList.toggle("vae-tiny", height < TINY);
    host.style.setProperty("--vae-room", `${height}px`);
    host.querySelectorAll(".vae-formula").forEach(letKeysScroll);
    shrinkPictures(host, height);
  }
  const ask = () => { if (!asked) requestAnimationFrame(resize); asked = true; };
  const sizes = new ResizeObserver(ask);
  [room, host].forEach((node) => sizes.observe(node));
  const watch = new MutationObserver(ask);
  watch.observe(host, { subtree: true, childList: true });
  host.addEventListener("load", ask, true); // a picture has its size when it is there
  ask();
  return () => { sizes.disconnect(); watch.disconnect(); };
}

/** A formula that is too wide takes the focus, and the arrow keys scroll it. */
function letKeysScroll(formula) {
  const region = { tabindex: "0", role: "region", "aria-label": "formula" };
  if (formula.scrollWidth > formula.clientWidth + 1) set(formula, region);
  else Object.keys(region).forEach((key) => formula.removeAttribute(key));
}

/** Makes pictures just so small that all of the widget is seen, or all down to the last picture. */
function shrinkPictures(host, height) {
  const images = pictures(host).filter((image) => image.naturalWidth);
  if (!images.length) return;
  const width = Math.min(...images.map((image) => image.parentElement.clientWidth));
  const wanted = images.map((image) => image.naturalHeight * Math.min(1, width / image.naturalWidth));
  const total = wanted.reduce((sum, one) => sum + one);
  const shown = images.reduce((sum, image) => sum + image.offsetHeight, 0);
  const last = images.at(-1).getBoundingClientRect().bottom - host.getBoundingClientRect().top;
  let scale = (height - (host.offsetHeight - shown)) / total;
  if (scale < SMALLEST || height < TINY) scale = (height - (last - shown)) / total;
  scale = Math.min(1, Math.max(0.3, scale));
  images.forEach((image, number) => {
    const limit = `${Math.floor(wanted[number] * scale)}px`;
    if (image.style.maxHeight !== limit) image.style.maxHeight = limit;
  });
}

/** A control that is moved by keys or let go by the mouse brings what it moves onto the screen. */
function bringIntoView(host, room) {
  function scroll() {
    const row = document.activeElement?.closest?.(".vae-control");
    if (!row || !host.contains(row)) return;
    const view = room === document.scrollingElement ? { top: 0, bottom: window.innerHeight } : room.getBoundingClientRect();
    const whole = host.getBoundingClientRect(), high = view.bottom - view.top;
    const shown = pictures(host), texts = host.querySelectorAll(".vae-steps, .vae-numbers");
    const bottoms = [...(shown.length ? shown : texts)].map((node) => node.getBoundingClientRect().bottom);
    const bottom = whole.height <= high ? whole.bottom : Math.max(...bottoms);
    const top = bottom - whole.top <= high ? whole.top : row.getBoundingClientRect().top;
    if (top < view.top - 1) room.scrollBy(0, top - view.top);
    else if (bottom > view.bottom + 1) room.scrollBy(0, Math.min(bottom - view.bottom + 2, top - view.top));
  }
  host.addEventListener("keydown", scroll, true);
  host.addEventListener("pointerup", scroll);
}

// ---- the kernel -----------------------------------------------------------------------------

/** Says when the kernel does not answer, and takes the controls away when it is gone. */
function watchKernel(host, model) {
  const note = Object.assign(document.createElement("p"), { className: "vae-note", hidden: true });
  note.setAttribute("role", "status");
  host.prepend(note);
  let timer = 0, last = 0, gone = false;
  function end() { // what is left is a picture: no handle that moves and does nothing
    if (gone) return;
    gone = true;
    clearTimeout(timer);
    const rows = [...host.querySelectorAll(".vae-control")].map((row) => words(row).join(" ").trim());
    const where = rows.filter(Boolean).join("; ");
    note.textContent = `The kernel is gone. This is a still picture${where ? `, at ${where}` : ""}. Run the cell again.`;
    note.hidden = false;
    host.classList.add("vae-gone");
    for (const part of host.querySelectorAll(".vae-controls, .vae-control, button, select, .latent-plane")) part.inert = true;
  }
  function ask() {
    if (gone || timer || Date.now() - last < ASK_EVERY) return;
    last = Date.now();
    try {
      model.set("asked", model.get("asked") + 1);
      model.save_changes();
    } catch { /* a kernel that is gone takes nothing; the clock finds out */ }
    timer = setTimeout(() => {
      timer = 0;
      note.textContent = "The kernel has not answered yet: it is busy, or gone. If it is gone, run the cell again.";
      note.hidden = false;
    }, NO_ANSWER);
  }
  function answer() {
    if (model.get("answered") !== model.get("asked")) return;
    clearTimeout(timer);
    timer = 0;
    if (!gone) note.hidden = true;
  }
  const watch = new MutationObserver(() => { if (host.querySelector(".jupyter-widgets-disconnected")) end(); });
  watch.observe(host, { subtree: true, attributes: true, attributeFilter: ["class"] });
  model.on("change:answered", answer);
  for (const event of ["keydown", "pointerdown", "change"]) host.addEventListener(event, ask, true);
  return () => { watch.disconnect(); clearTimeout(timer); model.off("change:answered", answer); };
}

export default { initialize };
