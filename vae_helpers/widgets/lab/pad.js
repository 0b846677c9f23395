// The chosen image: a pad of 14 × 14 pixels to draw on with mouse, finger or keys, and pictures of the reader's own.

import { make, prepare, write } from "./paint.js";

const SIDE = 14;
const FINE = 20; // pixels of a picture, before they are averaged, for one of the pad
const FEW = 6; // pixels of ink, below which the lines were too thin for 14 × 14
const DRAWN = 280; // pixels of a side of a drawing that has none
const LARGEST_FILE = 40e6; // bytes

/** A pad; `change(pixels, how)` is called when the reader has changed it, `say(text)` with what a screen reader speaks. */
export function makePad(change, say) {
  const canvas = make("canvas", {
    class: "lab-pad",
    tabindex: 0,
    role: "application",
    "data-lm-suppress-shortcuts": "true",
    "aria-label": "the chosen image, 14 by 14 pixels: draw with the mouse, or move with the arrow keys and press space",
  });
  let pixels = new Float32Array(SIDE ** 2),
    row = 6,
    column = 6,
    shade = 1,
    before = null;

  function draw() {
    const { ink, width, height } = prepare(canvas),
      size = width / SIDE;
    Object.assign(ink, { strokeStyle: "#e2e2e2", lineWidth: 1, fillStyle: "#111" });
    for (let j = 0; j < SIDE ** 2; j++) {
      const x = (j % SIDE) * size,
        y = Math.floor(j / SIDE) * size;
      if (pixels[j]) ink.fillRect(x, y, size, size);
      else ink.strokeRect(x, y, size, size);
    }
    if (document.activeElement !== canvas) return;
    for (const [color, thick] of [
      ["#fff", 5],
      ["#d55e00", 3],
    ]) {
      Object.assign(ink, { strokeStyle: color, lineWidth: thick });
      ink.strokeRect(column * size, row * size, size, height / SIDE);
    }
  }
  function set(r, c, value) {
    if (r < 0 || c < 0 || r >= SIDE || c >= SIDE) return;
    pixels[r * SIDE + c] = value;
  }
  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [
      Math.floor(((event.clientY - box.top) / box.height) * SIDE),
      Math.floor(((event.clientX - box.left) / box.width) * SIDE),
    ];
  }
  function stroke(from, to) {
    // no pixel is left out, however fast the mouse is
    const count = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
    for (let k = 0; k <= count; k++) {
      set(...from.map((start, i) => Math.round(start + ((to[i] - start) * k) / count)), shade);
    }
    draw();
  }
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    [row, column] = before = at(event);
    shade = pixels[row * SIDE + column] ? 0 : 1; // a stroke that begins on ink takes ink away
    stroke(before, before);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    const now = at(event);
    stroke(before, now);
    before = now;
  });
  canvas.addEventListener("pointerup", () => change(pixels.slice(), "drawn"));
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (move) {
      row = Math.max(0, Math.min(SIDE - 1, row + move[0]));
      column = Math.max(0, Math.min(SIDE - 1, column + move[1]));
    } else if (event.key === " " || event.key === "Enter") {
      set(row, column, pixels[row * SIDE + column] ? 0 : 1);
      change(pixels.slice(), "drawn");
    } else return;
    say(`row ${row + 1}, column ${column + 1}: ${pixels[row * SIDE + column] ? "ink" : "white"}`);
    draw();
    event.preventDefault();
    event.stopPropagation();
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, draw);
  return {
    canvas,
    draw,
    pixels: () => pixels.slice(),
    put(values) {
      pixels = Float32Array.from(values);
      draw();
    },
  };
}

/** A picture file as an image of the pad. Gives the pixels and a sentence on what was done, or an Error with one. */
export async function readPicture(file) {
  if (!file.type.startsWith("image/"))
    throw new Error(`“${file.name}” is no picture; expected a file such as PNG or JPEG.`);
  if (file.size > LARGEST_FILE) throw new Error(`“${file.name}” is too large: expected at most 40 MB.`);
  const bitmap = await bitmapOf(file);
  const isFlat = ({ dark, light }) => light - dark < 0.1;
  let read = greyOf(bitmap, "#fff");
  if (isFlat(read)) read = greyOf(bitmap, "#000"); // white ink on what is transparent
  const { width, height } = bitmap,
    { grey, colored, dark, light } = read;
  bitmap.close();
  if (isFlat(read)) throw new Error(`“${file.name}” has no ink: all of it has about the same brightness.`);
  const edge = grey.filter((_, j) => j < SIDE || j >= SIDE * (SIDE - 1) || j % SIDE === 0 || j % SIDE === SIDE - 1);
  const average = edge.reduce((a, b) => a + b) / edge.length,
    lightPaper = average > (dark + light) / 2;
  const inkBeyond = (middle) => grey.map((value) => ((lightPaper ? value < middle : value >= middle) ? 1 : 0));
  let pixels = inkBeyond((dark + light) / 2);
  if (pixels.reduce((a, b) => a + b) < FEW) pixels = inkBeyond((Math.min(...grey) + Math.max(...grey)) / 2); // thin lines
  const ink = pixels.reduce((a, b) => a + b);
  const steps = [`“${file.name}”: ${width} × ${height} pixels${colored ? " in colour, made grey" : ""}`];
  steps.push(width === SIDE && height === SIDE ? "already 14 × 14" : "scaled to 14 × 14");
  if (width !== height) steps.push("with the shorter side filled up by its paper");
  steps.push(`${ink} ${ink === 1 ? "pixel that is" : "pixels that are"} ${lightPaper ? "darker" : "lighter"} than the middle of its greys taken as ink`);
  return { pixels, told: `${steps.join(", ")}. It has not left this page.` };
}

async function bitmapOf(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    // a drawing such as SVG, which has no pixels, is read as a picture of a page
  }
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    const size = [image.naturalWidth || DRAWN, image.naturalHeight || DRAWN], sheet = new OffscreenCanvas(...size);
    sheet.getContext("2d").drawImage(image, 0, 0, ...size);
    return sheet.transferToImageBitmap();
  } catch {
    throw new Error(
      `“${file.name}” cannot be read as a picture: it is damaged, or of a kind that this browser does not know.`,
    );
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

/** 14 × 14 means of brightness of a bitmap that is fitted into a square; `paper` lies under what is transparent. */
function greyOf(bitmap, paper) {
  const fine = SIDE * FINE,
    sheet = new OffscreenCanvas(fine, fine),
    ink = sheet.getContext("2d", { willReadFrequently: true });
  const scale = fine / Math.max(bitmap.width, bitmap.height),
    width = bitmap.width * scale,
    height = bitmap.height * scale;
  ink.imageSmoothingEnabled = scale < 1; // a small picture keeps its pixels
  ink.imageSmoothingQuality = "high";
  ink.fillStyle = paper;
  ink.fillRect(0, 0, fine, fine);
  ink.drawImage(bitmap, (fine - width) / 2, (fine - height) / 2, width, height);
  if (width !== height) extendPaper(ink, fine, width, height);
  const { data } = ink.getImageData(0, 0, fine, fine),
    grey = new Float32Array(SIDE ** 2);
  let colored = false,
    dark = 1,
    light = 0;
  for (let at = 0, k = 0; k < fine ** 2; k++, at += 4) {
    const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
    colored ||= Math.max(red, green, blue) - Math.min(red, green, blue) > 24;
    const pixel = Math.floor(Math.floor(k / fine) / FINE) * SIDE + Math.floor((k % fine) / FINE);
    const value = (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
    ((dark = Math.min(dark, value)), (light = Math.max(light, value)));
    grey[pixel] += value / FINE ** 2;
  }
  return { grey, colored, dark, light };
}

/** Fills the bands beside a picture that is no square with the colour of its corner. */
function extendPaper(ink, fine, width, height) {
  const left = (fine - width) / 2,
    top = (fine - height) / 2;
  const [red, green, blue] = ink.getImageData(
    Math.min(fine - 1, Math.ceil(left) + 1),
    Math.min(fine - 1, Math.ceil(top) + 1),
    1,
    1,
  ).data;
  ink.fillStyle = `rgb(${red},${green},${blue})`;
  if (width > height) for (const y of [0, fine - top]) ink.fillRect(0, y, fine, top);
  else for (const x of [0, fine - left]) ink.fillRect(x, 0, left, fine);
}
