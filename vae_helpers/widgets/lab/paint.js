// What all parts of the Lab's page share: elements, numbers as text, and canvases that are sharp at any size.

/** An element with attributes and children; an attribute that is `null` is left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A number as it is read: a true minus, commas between thousands, which need no decimals. */
export function show(number, wanted = 1) {
  const digits = Math.abs(number) >= 1000 ? 0 : wanted;
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number > 0 ? "∞" : "−∞";
  const rounded = Number(number.toFixed(digits)) + 0; // no "−0.0"
  if (Math.abs(rounded) >= 1e7) {
    const [mantissa, exponent] = rounded.toExponential(1).split("e+");
    return `${mantissa.replace("-", "−")} · 10^${exponent}`;
  }
  const text = Math.abs(rounded).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (rounded < 0 ? "−" : "") + text;
}

/** Makes a canvas as dense as the screen; gives its context, in the page's pixels, and its size there. */
export function prepare(canvas) {
  const ratio = Math.max(1, Math.min(3, window.devicePixelRatio || 1));
  const width = canvas.clientWidth || 300,
    height = canvas.clientHeight || 300;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ink = canvas.getContext("2d");
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, width, height);
  ink.setLineDash([]);
  return { ink, width, height };
}

/** Words with a white rim, to be read over anything. */
export function write(ink, words, x, y, align = "left", color = "#111") {
  Object.assign(ink, { textAlign: align, strokeStyle: "#fff", lineWidth: 3, lineJoin: "round", fillStyle: color });
  ink.strokeText(words, x, y);
  ink.fillText(words, x, y);
}

/** Takes the colour and dashes of a role of the course's pictures. */
export function takeLook(ink, { color, dash }, width = 2.5) {
  Object.assign(ink, { strokeStyle: color, lineWidth: width, lineCap: "butt" });
  ink.setLineDash(dash.map((part) => part * width));
}

/** Round numbers from `low` to `high`, about `count` of them. */
export function ticks(low, high, count) {
  const rough = (high - low) / count,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return { values: found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** Draws images of side × side, given as probabilities of ink, `across` in a row, into a canvas of that many pixels. */
export function drawImages(canvas, images, side, across) {
  const count = images.length / side ** 2,
    down = Math.ceil(count / across);
  if (canvas.width !== side * across || canvas.height !== side * down) {
    canvas.width = side * across;
    canvas.height = side * down;
  }
  const ink = canvas.getContext("2d"),
    pixels = ink.createImageData(canvas.width, canvas.height);
  for (let image = 0; image < count; image++) {
    const left = side * (image % across),
      top = side * Math.floor(image / across);
    for (let j = 0; j < side ** 2; j++) {
      const shade = 255 * (1 - images[image * side ** 2 + j]),
        at = 4 * ((top + Math.floor(j / side)) * canvas.width + left + (j % side));
      pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = shade;
      pixels.data[at + 3] = 255;
    }
  }
  ink.putImageData(pixels, 0, 0);
}
