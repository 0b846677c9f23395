// The curves over the steps of training: what is printed, the true ELBO, log p(x), and how far they are apart.

import { prepare, show, takeLook, ticks, write } from "./paint.js";

const MOST_POINTS = 500; // that are kept; of older ones every second is dropped
const RECENT = 100;
const TALLEST = 36; // nats that the curves may span before what is early is left off the picture
const FONT = "13px sans-serif";
export const PRINTED_LOOK = { color: "#111111", dash: [] };

/** Drops every second of the older points once there are too many, so that hours of training need no more room. */
export function thin(points) {
  if (points.length <= MOST_POINTS) return points;
  const old = points.length - RECENT;
  return points.filter((_, i) => i % 2 === 0 || i >= old);
}

/** A place along the axis of steps, from 0 to 1. */
const along = (steps, last, wide) => (wide ? Math.log1p(steps / 10) / Math.log1p(last / 10) : steps / last);

function frameOf(canvas, points, wide, range, room) {
  const { ink, width, height } = prepare(canvas),
    last = Math.max(200, points.at(-1)?.steps ?? 0);
  const left = 48,
    right = width - (width > 560 ? room : 12),
    top = 12,
    bottom = height - 24,
    [low, high] = range;
  return {
    ink,
    width,
    height,
    left,
    right,
    top,
    bottom,
    last,
    wide,
    low,
    high,
    x: (steps) => left + (right - left) * along(steps, last, wide),
    y: (value) => bottom - ((bottom - top) * (value - low)) / (high - low),
  };
}

function drawAxes({ ink, left, right, top, bottom, last, wide, low, high, x, y }, numSteps) {
  Object.assign(ink, { font: FONT, fillStyle: "#444", strokeStyle: "#ddd", lineWidth: 1, textBaseline: "middle" });
  const across = ticks(low, high, Math.max(2, (bottom - top) / 45));
  ink.textAlign = "right";
  ink.beginPath();
  for (const value of across.values) {
    (ink.moveTo(left, y(value)), ink.lineTo(right, y(value)));
    ink.fillText(show(value, across.digits), left - 6, y(value));
  }
  ink.stroke();
  const marks = wide
    ? [0, 10, 100, 1000, 10000, 100000].filter((step) => step <= last)
    : ticks(0, last, numSteps).values;
  Object.assign(ink, { textAlign: "center", textBaseline: "alphabetic" });
  for (const step of marks) ink.fillText(show(step, 0), x(step), bottom + 17);
  ink.textAlign = "left";
}

/** A curve; where it leaves the picture it ends at its edge. */
function drawCurve({ ink, left, right, top, bottom, x, y }, points, value, look, width = 2.5) {
  ink.save();
  ink.beginPath();
  ink.rect(left - 5, top - 5, right - left + 11, bottom - top + 10);
  ink.clip();
  takeLook(ink, look, width);
  ink.beginPath();
  let joined = false;
  for (const point of points) {
    const at = value(point);
    if (!Number.isFinite(at)) {
      joined = false;
      continue;
    }
    const place = [x(point.steps), Math.max(-1e4, Math.min(1e4, y(at)))];
    if (joined) ink.lineTo(...place);
    else (ink.moveTo(...place), ink.lineTo(place[0] + 0.5, place[1]));
    joined = true;
  }
  ink.stroke();
  const last = points.at(-1),
    height = y(value(last)); // a dot, so that a first measurement is seen at all
  if (height > top - 4 && height < bottom + 4) {
    ink.fillStyle = look.color;
    ink.beginPath();
    ink.arc(x(last.steps), height, width + 1.5, 0, 2 * Math.PI);
    ink.fill();
  }
  ink.restore();
}

/** The area between log p(x) and the true ELBO: the gap. */
function shadeGap({ ink, left, right, top, bottom, x, y }, points) {
  ink.save();
  ink.beginPath();
  ink.rect(left, top, right - left, bottom - top);
  ink.clip();
  ink.beginPath();
  const height = (value) => Math.max(-1e4, Math.min(1e4, y(value)));
  for (const point of points) ink.lineTo(x(point.steps), height(point.evidence));
  for (const point of [...points].reverse()) ink.lineTo(x(point.steps), height(point.elbo));
  ink.fillStyle = "#e9e9e9";
  ink.fill();
  ink.restore();
}

/** The steps at which the reader has changed the loss on the way. */
function drawChanges({ ink, top, bottom, x }, changes) {
  ink.setLineDash([2, 3]);
  Object.assign(ink, { strokeStyle: "#666", lineWidth: 1 });
  ink.beginPath();
  for (const steps of changes) (ink.moveTo(x(steps), top), ink.lineTo(x(steps), bottom));
  ink.stroke();
  ink.setLineDash([]);
}

/** Names at the ends of curves, moved apart; a curve that has left the picture says so. */
function drawNames(frame, named) {
  const { ink, width, right, top, bottom, y } = frame;
  Object.assign(ink, { font: `bold ${FONT}`, textBaseline: "middle" });
  const seen = named.filter(({ value }) => !Number.isNaN(value));
  const places = seen.map(({ name, value }) => {
    const off = y(value) < top - 4 ? " ↑" : y(value) > bottom + 4 ? " ↓" : "";
    return { name: name + off, at: Math.max(top, Math.min(bottom - 4, y(value))), off };
  });
  if (width <= 560) {
    // no room beside: only what is not in the picture is told
    places
      .filter(({ off }) => off)
      .forEach(({ name, at, off }) =>
        write(ink, `${name} off the picture`, right - 4, off === " ↑" ? at + 8 : at - 8, "right"),
      );
    return;
  }
  places.sort((a, b) => a.at - b.at);
  for (let i = 1; i < places.length; i++) places[i].at = Math.max(places[i].at, places[i - 1].at + 16);
  const over = Math.max(0, (places.at(-1)?.at ?? 0) - bottom);
  for (const { name, at } of places) write(ink, name, right + 8, at - over);
}

/** What the vertical axis shows: the truth of all but the first steps, and what is printed if it is near. */
function rangeOf(points) {
  const truths = points.filter((point) => Number.isFinite(point.evidence) && Number.isFinite(point.elbo));
  if (!truths.length) return [-60, -30];
  let high = Math.max(...truths.map((point) => point.evidence)),
    low = Math.min(...truths.map((point) => point.elbo));
  low = Math.max(low, high - TALLEST);
  for (const { printed } of points) {
    if (printed > high && printed < high + TALLEST / 2) high = printed;
    if (printed < low && printed > low - TALLEST / 2) low = printed;
  }
  return [low - 0.06 * (high - low) - 0.3, high + 0.06 * (high - low) + 0.3];
}

/** The three curves. */
export function drawCurves(canvas, points, changes, wide, roles) {
  const frame = frameOf(canvas, points, wide, rangeOf(points), 132);
  drawAxes(frame, frame.width > 560 ? 7 : 4);
  if (!points.length) return;
  shadeGap(frame, points);
  drawChanges(frame, changes);
  drawCurve(frame, points, (point) => point.evidence, roles.evidence);
  drawCurve(frame, points, (point) => point.printed, PRINTED_LOOK, 5); // wide, so that the ELBO is seen on it
  drawCurve(frame, points, (point) => point.elbo, roles.elbo);
  const last = points.at(-1);
  drawNames(frame, [
    { name: "log p(x)", value: last.evidence },
    { name: "true ELBO", value: last.elbo },
    { name: "printed", value: last.printed },
  ]);
}

/** Below them: the gap, and what the printed number claims beyond the true ELBO. */
export function drawDifferences(canvas, points, wide, roles) {
  const gap = (point) => point.evidence - point.elbo,
    claim = (point) => point.printed - point.elbo;
  const near = points.flatMap((point) => [gap(point), claim(point)]).filter((value) => Math.abs(value) < TALLEST);
  const high = Math.max(2, ...near),
    low = Math.min(0, ...near),
    margin = 0.08 * (high - low);
  const frame = frameOf(canvas, points, wide, [low - margin, high + margin], 132);
  drawAxes(frame, frame.width > 560 ? 7 : 4);
  if (!points.length) return;
  drawCurve(frame, points, gap, { ...roles.gap, color: "#666666" });
  drawCurve(frame, points, claim, PRINTED_LOOK);
  drawNames(frame, [
    { name: "gap", value: gap(points.at(-1)) },
    { name: "printed − ELBO", value: claim(points.at(-1)) },
  ]);
}

/** The way of the model in the plane of rate and distortion; along a slope of −1 the ELBO stays the same. */
export function drawTrade(canvas, points, roles) {
  const { ink, width, height } = prepare(canvas),
    left = 40,
    bottom = height - 34,
    right = width - 12,
    top = 12;
  const seen = points.filter(({ rate, distortion }) => rate < 60 && distortion < 120);
  const high = Math.max(5, ...seen.map(({ rate }) => rate)) * 1.08;
  const floor = Math.min(40, ...seen.map(({ distortion }) => distortion)) - 2;
  const ceiling = Math.min(floor + 40, Math.max(floor + 12, ...seen.map(({ distortion }) => distortion + 2)));
  const x = (rate) => left + ((right - left) * rate) / high,
    y = (value) => bottom - ((bottom - top) * (value - floor)) / (ceiling - floor);
  Object.assign(ink, {
    font: FONT,
    fillStyle: "#444",
    strokeStyle: "#ddd",
    lineWidth: 1,
    textAlign: "right",
    textBaseline: "middle",
  });
  ink.beginPath();
  for (const value of ticks(floor, ceiling, 5).values) {
    (ink.moveTo(left, y(value)), ink.lineTo(right, y(value)));
    ink.fillText(show(value, 0), left - 5, y(value));
  }
  Object.assign(ink, { textAlign: "center", textBaseline: "alphabetic" });
  for (const value of ticks(0, high, 5).values) {
    (ink.moveTo(x(value), top), ink.lineTo(x(value), bottom));
    ink.fillText(show(value, 0), x(value), bottom + 15);
  }
  ink.stroke();
  ink.fillText("rate: KL to the prior, nats →", (left + right) / 2, height - 4);
  if (!points.length) return;
  const last = points.at(-1);
  ink.save();
  ink.beginPath();
  ink.rect(left, top, right - left, bottom - top);
  ink.clip();
  for (const [look, sum] of [
    [roles.evidence, -last.evidence],
    [roles.elbo, last.rate + last.distortion],
  ]) {
    takeLook(ink, look, 2);
    ink.beginPath();
    (ink.moveTo(x(0), y(sum)), ink.lineTo(x(high), y(sum - high)));
    ink.stroke();
  }
  takeLook(ink, PRINTED_LOOK, 1.5);
  ink.beginPath();
  for (const { rate, distortion } of points) ink.lineTo(x(rate), y(distortion));
  ink.stroke();
  ink.restore();
  ink.fillStyle = "#111";
  ink.beginPath();
  ink.arc(Math.min(right, x(last.rate)), Math.max(top, Math.min(bottom, y(last.distortion))), 5, 0, 2 * Math.PI);
  ink.fill();
  ink.font = FONT;
  write(ink, "distortion ↑", left + 4, top + 10, "left", "#444");
}
