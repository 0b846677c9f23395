// The practice page: shows one question at a time, grades it, and says what a teacher says to a mistake.
"use strict";
(() => {
  const host = document.querySelector(".practice"), questions = window.vaePractice;
  if (!host || !questions) return;

  /** An element with attributes and children; strings are text. */
  function build(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  /** Words with formulas between dollars, which MathJax sets later, and code between backquotes. */
  function words(text) {
    const parts = text.split("`").map((part, i) => (i % 2 ? build("code", {}, part) : part));
    return build("span", { class: "practice-math mathjax_process" }, ...parts);
  }

  // ---- formulas -----------------------------------------------------------------------------

  let setting = Promise.resolve(); // MathJax takes one thing at a time

  function typeset(node) {
    const set = async () => {
      if (document.readyState !== "complete") await new Promise((done) => addEventListener("load", done, { once: true }));
      await window.MathJax?.startup?.promise;
      if (node.isConnected) await window.MathJax?.typesetPromise?.([node]);
      letScroll();
    };
    setting = setting.then(set).catch((error) => console.error(error)); // one formula must not stop the others
    return setting;
  }

  /** What is too wide takes the focus, and the arrow keys scroll it. */
  function letScroll() {
    for (const node of host.querySelectorAll(".practice-math")) {
      const wide = node.scrollWidth > node.clientWidth + 1;
      if (wide) node.tabIndex = 0;
      else node.removeAttribute("tabindex");
    }
  }
  new ResizeObserver(letScroll).observe(host);

  // ---- where the reader is ------------------------------------------------------------------

  const links = new Map(); // "notebook.section" to the address of the section
  for (const link of document.querySelectorAll("a[href]")) {
    const found = /^Notebook (\d+), section (\d+)\./.exec(link.textContent.trim());
    if (found) links.set(`${found[1]}.${found[2]}`, link.getAttribute("href"));
  }
  const turns = new Map(); // how often another one like it was asked for, by question
  const first = new Map(); // whether the first answer was right, by question and variant
  let asked = questions, at = 0;

  function variantOf(question) {
    const number = (turns.get(question.key) ?? 0) % question.variants.length;
    return { ...question.variants[number], name: `${question.key}.${number}` };
  }

  // ---- the parts that stay ------------------------------------------------------------------

  function makeSelect(label, options) {
    const select = build("select", {}, ...options.map(([value, text]) => build("option", { value }, text)));
    select.addEventListener("change", filter);
    return { root: build("label", {}, `${label} `, select), select };
  }
  function count(test) {
    return questions.filter(test).length;
  }
  const notebooks = [...new Set(questions.map((question) => question.notebook))];
  const notebook = makeSelect("Notebook", [["", `all (${questions.length})`],
    ...notebooks.map((one) => [String(one), `${one} (${count((question) => question.notebook === one)})`])]);
  const level = makeSelect("Difficulty", [["", "all"], ["1", "1, easy"], ["2", "2, medium"], ["3", "3, hard"]]);
  const score = build("p", { class: "practice-score" }), place = build("h2", { tabindex: "-1" });
  const form = build("form", { novalidate: "" });
  const result = build("div", { class: "practice-result", role: "status", "aria-live": "polite" });
  const back = makeButton("Previous question", () => go(-1)), again = makeButton("Another one like it", another);
  const next = makeButton("Next question", () => go(1));
  host.replaceChildren(build("div", { class: "practice-choose" }, notebook.root, level.root), score, place, form, result,
    build("div", { class: "practice-buttons" }, again, back, next));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    check();
  });

  function makeButton(text, act) {
    const button = build("button", { type: "button" }, text);
    button.addEventListener("click", act);
    return button;
  }

  function filter() {
    const fits = (chosen, value) => chosen === "" || Number(chosen) === value;
    asked = questions.filter((one) => fits(notebook.select.value, one.notebook) && fits(level.select.value, one.level));
    at = 0;
    show();
  }

  function go(step) {
    at = (at + step + asked.length) % asked.length;
    show();
    place.focus();
  }

  function another() {
    const { key } = asked[at];
    turns.set(key, (turns.get(key) ?? 0) + 1);
    show();
    place.focus();
  }

  // ---- a question ---------------------------------------------------------------------------

  function show() {
    window.MathJax?.typesetClear?.([form, result]);
    result.replaceChildren();
    delete result.dataset.verdict;
    showScore();
    const question = asked[at], variant = variantOf(question);
    place.textContent = `Question ${at + 1} of ${asked.length}: notebook ${question.notebook}, difficulty ${question.level}`;
    const answers = question.typed ? makeField(question, variant) : variant.options.map(makeOption);
    form.replaceChildren(build("fieldset", { "data-variant": variant.name }, build("legend", {}, words(variant.text)), ...answers),
      build("div", { class: "practice-buttons" }, build("button", { type: "submit" }, "Check")));
    typeset(form);
  }

  function makeOption({ text }, number) {
    // A formula is a picture: its TeX is what a screen reader can say of it.
    const said = text.replace(/\$|\\[()]/g, "");
    const input = build("input", { type: "radio", name: "answer", value: String(number), "aria-label": said });
    return build("label", { class: "practice-option" }, input, words(text));
  }

  function makeField({ unit }, { tolerance }) {
    const near = tolerance ? ` (\u00b1${tolerance} is near enough)` : "";
    const input = build("input", { type: "text", name: "answer", inputmode: "decimal", autocomplete: "off", size: "12" });
    return [build("label", {}, `Your number${unit && `, in ${unit}`}${near}: `, input)];
  }

  // ---- grading ------------------------------------------------------------------------------

  /** The numbers that a text may stand for: a comma may be a decimal point or part of a thousand. */
  function readings(text) {
    const plain = text.trim().replaceAll("\u2212", "-").replace(/\s+/g, "");
    const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
    const candidates = [plain.replace(",", "."), /^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(plain) ? plain.replaceAll(",", "") : ""];
    return candidates.filter((one) => number.test(one)).map(Number);
  }

  /** The option that was chosen or typed; null for an unknown number, undefined where there is no answer. */
  function given(question, variant) {
    const { answer } = form.elements;
    if (!question.typed) return answer.value === "" ? undefined : variant.options[Number(answer.value)];
    const numbers = readings(answer.value);
    if (numbers.length === 0) return undefined;
    const near = (option) => numbers.some((one) => Math.abs(one - option.number) <= variant.tolerance * (1 + 1e-9) + 1e-9);
    return variant.options.find(near) ?? null; // at most one is so near
  }

  function check() {
    const question = asked[at], variant = variantOf(question), option = given(question, variant);
    if (option === undefined) {
      tell("none", build("p", {}, question.typed ? "Type a number, such as \u22121.25." : "Choose an answer first."));
      return;
    }
    const right = Boolean(option?.right);
    if (!first.has(variant.name)) first.set(variant.name, right);
    showScore();
    const where = `${question.notebook}.${question.section}`, href = links.get(where);
    const section = `notebook ${question.notebook}, section ${question.section}`;
    const read = build("p", {}, "It is the subject of ", href ? build("a", { href }, section) : section, ".");
    const solution = words(variant.solution);
    if (right) tell("right", build("p", {}, build("b", {}, "Right.")), build("p", {}, solution), read);
    else {
      const said = option ? words(option.said) : words("This is none of the known mistakes. Go through your steps again.");
      const name = option ? [build("p", {}, "Its name: ", build("code", {}, option.name))] : [];
      const folded = build("details", {}, build("summary", {}, "Show the solution"), build("p", {}, solution));
      folded.addEventListener("toggle", letScroll);
      tell("wrong", build("p", {}, build("b", {}, "Not right.")), build("p", {}, said), ...name, read, folded);
    }
  }

  function tell(verdict, ...parts) {
    window.MathJax?.typesetClear?.([result]);
    result.dataset.verdict = verdict;
    result.replaceChildren(...parts);
    typeset(result);
  }

  function showScore() {
    const right = [...first.values()].filter(Boolean).length;
    score.textContent = first.size ? `This visit: ${right} of ${first.size} right at the first answer.` : "This visit: no answer yet.";
  }

  show();
})();
