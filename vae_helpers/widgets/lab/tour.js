// The guided tour: six steps, each with a prediction before anything is shown.

import { make, show } from "./paint.js";

const AS_FIRST = { loss: "right", beta: 1, rate: 0.003, batch: 64, hidden: 64, latents: 2, seed: 1 };

// `settings` are those of the Lab; it is trained for `steps`; `told` puts the measured numbers into words.
const STOPS_OF_TOUR = [
  {
    title: "The gap at the start",
    settings: AS_FIRST,
    steps: 0,
    question:
      "No step has been taken: encoder and decoder are random, only the decoder's last bias knows the mean image. How large is the gap between log p(x) and the ELBO?",
    answers: ["far more than 10 nats", "about 5 nats", "less than 1 nat"],
    right: 2,
    told: ({ gap }) =>
      `The gap is ${show(gap, 2)} nats. A decoder that hardly listens to z has a posterior that is hardly anything but the prior, and an untrained encoder says nearly the same. A small gap is no sign of a good model.`,
  },
  {
    title: "The gap stays",
    settings: AS_FIRST,
    steps: 1200,
    question: "Now 1,200 steps with the right loss. Which line will be on top at the end?",
    answers: ["the printed number", "log p(x)", "the true ELBO"],
    right: 1,
    told: ({ evidence, elbo, widest, narrowest, gap }) =>
      `log p(x) is ${show(evidence)}, and the ELBO, which is printed, ${show(elbo)} nats. The gap between them was at least ${show(narrowest, 2)} and at most ${show(widest, 2)} nats, and is now ${show(gap, 2)}. It is KL(q, posterior): training lowers it and, as the decoder makes more of z, gives q a harder posterior to follow. It does not vanish.`,
  },
  {
    title: "A mistake that looks like progress",
    settings: { ...AS_FIRST, loss: "mean" },
    steps: 1200,
    question: "The same with one mistake: the mean of q is decoded, without noise. Where will the printed number end?",
    answers: ["below the true ELBO", "between the true ELBO and log p(x)", "above log p(x)"],
    right: 2,
    told: ({ printed, evidence, elbo }) =>
      `It prints ${show(printed)}: more than log p(x), which is ${show(evidence)}, and no lower bound can be above that. The true ELBO is ${show(elbo)}. Only the truth beside it tells.`,
  },
  {
    title: "A mean where a sum belongs",
    settings: { ...AS_FIRST, loss: "pixels" },
    steps: 600,
    question:
      "The log-likelihood is averaged over the 196 pixels, the KL is not. What will the latent plane look like?",
    answers: ["all images at one point", "classes further apart", "as with the right loss"],
    right: 0,
    told: ({ rate, printed, elbo }) =>
      `The rate is ${show(rate, 3)} nats: all images have the same q, the prior, and every z is decoded to the mean image. It prints ${show(printed, 2)}, which looks like almost no loss; the true ELBO is ${show(elbo)}.`,
  },
  {
    title: "β is a price",
    settings: { ...AS_FIRST, beta: 4 },
    steps: 1200,
    question:
      "β = 4: each nat of rate is charged four times. With β = 1 the rate was about 3 nats and the distortion about 38. What happens to the distortion?",
    answers: ["it falls", "it stays", "it grows"],
    right: 2,
    told: ({ rate, distortion, elbo }) =>
      `Rate ${show(rate)}, distortion ${show(distortion)}: less is said through z, and the images pay for it. The true ELBO is ${show(elbo)}: worse than with β = 1, the weight for which it is the ELBO itself that is maximised.`,
  },
  {
    title: "Five wrong pixels",
    settings: AS_FIRST,
    steps: 1200,
    spoil: true,
    question:
      "The right loss once more. Then five pixels in the corner of a test image turn black, where training never saw any ink. By how much does log p(x) fall?",
    answers: ["by about 0.1 nats", "by about 1 nat", "by more than 10 nats"],
    right: 2,
    told: ({ clean, spoiled }) =>
      `From ${show(clean)} to ${show(spoiled)} nats: the sum over pixels charges for each surprise. Now draw a digit of your own, look at its log p(x), add it to the data and train on: it will rise.`,
  },
];

/** The tour; `act(settings, steps, spoil)` does what a step says and promises the numbers that were measured. */
export function makeTour(act, report) {
  let at = 0,
    chosen = -1,
    busy = false;
  const heading = make("h2"),
    question = make("p"),
    answers = make("fieldset", { class: "lab-answers" });
  const go = make("button", { type: "button", disabled: "" }, "Show me"),
    next = make("button", { type: "button" }, "Next step");
  const told = make("p", { class: "lab-told", tabindex: -1 });
  const root = make(
    "details",
    { class: "lab-tour" },
    make("summary", {}, "Guided tour: six predictions"),
    make(
      "div",
      {},
      make("div", {}, heading, question),
      make("div", {}, answers, make("p", { class: "lab-row" }, go, next)),
    ),
    told,
  );

  function draw() {
    const stop = STOPS_OF_TOUR[at];
    heading.textContent = `Step ${at + 1} of ${STOPS_OF_TOUR.length}: ${stop.title}`;
    question.textContent = stop.question;
    answers.replaceChildren(make("legend", {}, "Your prediction first:"), ...stop.answers.map(choiceOf));
    chosen = -1;
    go.disabled = true;
    next.hidden = true;
    told.textContent = "";
  }
  function choiceOf(text, i) {
    const input = make("input", {
      type: "radio",
      name: `lab-prediction-${at}`,
      value: i,
      "data-lm-suppress-shortcuts": "true",
    });
    input.addEventListener("change", () => {
      chosen = i;
      go.disabled = busy;
    });
    return make("label", {}, input, ` ${text}`);
  }
  go.addEventListener("click", async () => {
    const stop = STOPS_OF_TOUR[at];
    busy = go.disabled = true;
    for (const input of answers.querySelectorAll("input")) input.disabled = true;
    told.textContent = stop.steps ? `Training for ${show(stop.steps, 0)} steps …` : "Measuring …";
    const numbers = await act(stop.settings, stop.steps, Boolean(stop.spoil));
    busy = false;
    if (STOPS_OF_TOUR[at] !== stop) return;
    if (!numbers) {
      // something else was done in between
      told.textContent = "Interrupted. Choose again to repeat this step.";
      for (const input of answers.querySelectorAll("input")) Object.assign(input, { disabled: false, checked: false });
      return;
    }
    const verdict =
      chosen === stop.right
        ? "As you predicted: "
        : `You predicted “${stop.answers[chosen]}”; it is “${stop.answers[stop.right]}”. `;
    told.textContent = verdict + stop.told(numbers);
    report(told.textContent);
    told.focus({ preventScroll: true }); // the button that had the focus cannot be pressed any more
    next.hidden = false;
    next.textContent = at === STOPS_OF_TOUR.length - 1 ? "Begin again" : "Next step";
  });
  next.addEventListener("click", () => {
    at = (at + 1) % STOPS_OF_TOUR.length;
    draw();
    answers.querySelector("input").focus();
  });
  draw();
  return root;
}
