// What the slides ask of reveal.js and MathJax; both lie beside this file.

window.MathJax = {
  tex: { inlineMath: [["\\(", "\\)"], ["$", "$"]], displayMath: [["\\[", "\\]"]], processEscapes: true },
  options: { enableMenu: false, ignoreHtmlClass: "notes|code|printed" },
  startup: { typeset: false },
};

const inExplorer = () => document.activeElement?.closest?.(".vae-live");

/** A formula that is wider than the slide is made smaller. */
function fitFormulas() {
  for (const formula of document.querySelectorAll('mjx-container[display="true"]')) {
    const over = formula.querySelector("svg").getBoundingClientRect().width / (formula.parentElement.clientWidth || Infinity);
    if (over > 1) formula.style.fontSize = `${Math.floor(100 / over)}%`;
  }
}

/** An explorer becomes as large as its slide allows above the line at the foot. */
function fitExplorer(host) {
  const section = host.closest("section"), place = section.getBoundingClientRect();
  const foot = place.bottom - (parseFloat(getComputedStyle(section).paddingBottom) * place.height) / section.offsetHeight;
  for (let zoom = 1.3; zoom >= 0.4; zoom -= 0.05) {
    host.style.zoom = zoom;
    if (host.getBoundingClientRect().bottom <= foot && section.scrollWidth <= section.clientWidth) return;
  }
}

function fitExplorers() {
  for (const host of document.querySelectorAll("section.present .vae-live")) fitExplorer(host);
}

/** The slide of the explorer that an address names, as "link to this position" writes it. */
function slideOf(hash) {
  const key = decodeURIComponent(hash.slice(1).split("?")[0]);
  return [...document.querySelectorAll("[data-explorer]")].find((host) => host.dataset.explorer === key)?.closest("section");
}

function showSlides() {
  const { hash } = location, named = slideOf(hash);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  window.deck = MathJax.startup.promise
    .then(() => { document.body.classList.add("typesetting"); return MathJax.typesetPromise(); })
    .then(() => { fitFormulas(); document.body.classList.remove("typesetting"); })
    .then(() => Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 4, center: false, display: "flex",
    hash: true, slideNumber: "c/t", controlsTutorial: false, controlsLayout: "edges", transition: still ? "none" : "fade", transitionSpeed: "fast",
    pdfSeparateFragments: false, plugins: [RevealNotes],
    keyboardCondition: () => document.activeElement?.tagName !== "SELECT", // which takes the arrow keys itself
  })).then(() => {
    Reveal.on("slidechanged", fitExplorers);
    new MutationObserver(fitExplorers).observe(document.querySelector(".slides"),
      { subtree: true, attributeFilter: ["data-frames", "class"] });
    if (!named) return;
    const { h, v } = Reveal.getIndices(named);
    Reveal.slide(h, v);
    location.hash = hash; // for the explorer, which reads its position there
  });
  // Whoever has moved a slider goes on by Escape or by the keys of a presenter, which a slider must not take.
  addEventListener("keydown", (event) => {
    if (!inExplorer() || !["Escape", "PageUp", "PageDown"].includes(event.key)) return;
    document.activeElement.blur();
    if (event.key === "Escape") event.stopImmediatePropagation();
  }, { capture: true });
}
