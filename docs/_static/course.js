// The web edition's own switch, and what its theme leaves undone for those who use the keyboard.

const KEY = "vae-course-code";
const root = document.documentElement;

/** What was chosen on another page; a browser may forbid pages of a folder to remember. */
function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch { /* then it holds for this page */ }
}

/** A button that hides the code of all cells and brings it back. */
function addCodeSwitch() {
  const place = document.querySelector(".article-header-buttons");
  if (!place || !document.querySelector("div.cell_input")) return;
  const button = document.createElement("button");
  button.className = "course-code";
  button.type = "button";
  function show(choice) {
    root.dataset.code = choice;
    button.textContent = choice === "hidden" ? "Show the code" : "Hide the code";
  }
  button.addEventListener("click", () => {
    show(root.dataset.code === "hidden" ? "shown" : "hidden");
    remember(root.dataset.code);
  });
  show(remembered() === "hidden" ? "hidden" : "shown");
  place.prepend(button);
}

/** Whatever can be scrolled sideways can be reached, and scrolled by the arrow keys. */
function makeScrollable() {
  for (const node of document.querySelectorAll("div.math, div.cell_output, div.cell_output pre, div.highlight pre, table")) {
    if (node.scrollWidth > node.clientWidth + 1) {
      if (!node.hasAttribute("tabindex")) node.tabIndex = 0;
    } else if (node.getAttribute("tabindex") === "0") node.removeAttribute("tabindex");
  }
}

/** Solutions and hints are printed, too. */
function openForPrint() {
  for (const details of document.querySelectorAll("details")) details.open = true;
}

/** What the theme leaves without a landmark, and a button whose name is not what it shows. */
function nameTheme() {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  sidebar?.setAttribute("role", "complementary");
  sidebar?.setAttribute("aria-label", "The course");
  for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
}

addCodeSwitch();
nameTheme();
addEventListener("load", () => {
  (window.MathJax?.startup?.promise ?? Promise.resolve()).then(makeScrollable);
  new ResizeObserver(makeScrollable).observe(document.body);
});
addEventListener("beforeprint", openForPrint);
