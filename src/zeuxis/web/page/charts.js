// Charts of numbers over training steps: uPlot in the page's colours, and histograms on canvases of their own.

import { make } from "zeuxis/pictures.js";
import uPlot from "zeuxis/vendor/uPlot.esm.js";

/** @typedef {{name: string, values: (number | null)[], dash?: boolean, hidden?: boolean}} Curve */
/** @typedef {{steps: number[], curves: Curve[], band?: [number, number], range?: [number, number], note?: string}} Chart
 *   `band` fills between two of the curves; `range` is that of the values, where it is fixed; `note` says more in the title */
/** @typedef {{low: number, high: number, counts: number[]}} Histogram */

const HEIGHT = 170; // css pixels of a chart's plane
const EARLY = 0.03; // of the steps may leave the plane, where FEW rows or more come after them
const FEW = 10;
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const exact = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
export const grouped = new Intl.NumberFormat("en");

/** The colours of the page as it is now.
 * @param {HTMLElement} element */
export function colours(element) {
  const style = getComputedStyle(element);
  const [ink, soft, line, accent, edge] = ["ink", "soft", "line", "accent", "edge"].map((name) => style.getPropertyValue(`--${name}`));
  return { ink, soft, line, accent, edge, font: `12px ${style.fontFamily}` };
}

/** A chart of curves over the steps. It marks a step, and tells which one is clicked.
 * @param {HTMLElement} root
 * @param {string} title
 * @param {(step: number) => void} [chosen] */
export function stepChart(root, title, chosen) {
  const place = make("div", { className: "plot", role: "img", "aria-label": title }), legend = make("ul", { className: "legend" });
  const note = make("span");
  root.append(make("h3", {}, title, note), place, legend);
  let plot = /** @type {uPlot | null} */ (null), shape = "", marked = -1, newest = /** @type {Chart} */ ({ steps: [], curves: [] });
  const rebuild = () => {
    plot?.destroy();
    const { curves } = newest, told = (/** @type {number | null | undefined} */ at) => tell(legend, curves, at);
    plot = place.clientWidth ? new uPlot(options(place, () => newest, () => marked, told), data(newest), place) : null;
    dressed(legend, curves, colours(place));
    if (plot && chosen) plot.over.addEventListener("click", () => pick(plot, newest.steps, chosen));
  };
  new ResizeObserver(() => (plot ? plot.setSize({ width: place.clientWidth, height: HEIGHT }) : rebuild())).observe(place);
  return {
    root,
    /** @param {Chart} chart */
    show(chart) {
      const now = JSON.stringify([chart.curves.map(({ name, dash }) => [name, dash]), chart.band]);
      newest = chart;
      note.textContent = chart.note ?? "";
      if (plot && now === shape) plot.setData(data(chart));
      else rebuild();
      shape = now;
      tell(legend, chart.curves, plot?.cursor.idx);
      place.setAttribute("aria-label", `${title}: ${chart.curves.map(lastOf).filter(Boolean).join(", ")}`);
    },
    /** @param {number} step */
    mark(step) {
      if (step === marked) return;
      marked = step;
      plot?.redraw(false);
    },
    restyle: rebuild,
  };
}

/** @param {Curve} curve its newest value in words */
function lastOf({ name, values, hidden }) {
  const last = newestOf(values);
  return hidden || last === undefined || last === null ? "" : `${name} ${exact.format(last)}`;
}

/** @param {(number | null)[]} values */
const newestOf = (values) => values.findLast((value) => value !== null && Number.isFinite(value));

/** The stroke of each curve: ink, accent, soft, edge, then the same dotted.
 * @param {Curve[]} curves
 * @param {ReturnType<typeof colours>} tone */
function strokes(curves, { ink, accent, soft, edge }) {
  const tones = [ink, accent, soft, edge], seen = curves.filter(({ hidden }) => !hidden);
  return curves.map((curve) => {
    const k = seen.indexOf(curve);
    return { colour: curve.hidden ? "transparent" : tones[k % tones.length], dotted: curve.dash ?? k >= tones.length };
  });
}

/** The names of the curves, each with a line as it is drawn.
 * @param {HTMLElement} legend
 * @param {Curve[]} curves
 * @param {ReturnType<typeof colours>} tone */
function dressed(legend, curves, tone) {
  legend.replaceChildren(...strokes(curves, tone).map(({ colour, dotted }, k) => {
    const mark = make("span", { className: "mark" });
    Object.assign(mark.style, { borderTopColor: colour, borderTopStyle: dotted ? "dashed" : "solid" });
    return make("li", { hidden: Boolean(curves[k].hidden) }, mark, curves[k].name, make("b"));
  }));
  tell(legend, curves, null);
}

/** The values under the pointer, else the newest.
 * @param {HTMLElement} legend
 * @param {Curve[]} curves
 * @param {number | null | undefined} at */
function tell(legend, curves, at) {
  curves.forEach(({ values }, k) => {
    const place = legend.children[k]?.querySelector("b"), value = at === null || at === undefined ? newestOf(values) : values[at];
    if (place) place.textContent = value === null || value === undefined || !Number.isFinite(value) ? "" : exact.format(value);
  });
}

/** @param {Chart} chart
 * @returns {uPlot.AlignedData} */
function data({ steps, curves }) {
  return [steps, ...curves.map(({ values }) => values.map((value) => (value === null || Number.isFinite(value) ? value : null)))];
}

/** The range of the values. What the first steps alone reach is left out of sight: nothing could be seen of the others.
 * @param {Chart} chart
 * @param {number | null} low
 * @param {number | null} high of all values
 * @returns {[number, number]} */
function spread({ steps, curves }, low, high) {
  const start = steps.findIndex((step) => step >= EARLY * (steps.at(-1) ?? 0));
  const later = curves.flatMap(({ values }) => values.slice(start)).filter((value) => value !== null && Number.isFinite(value));
  const few = steps.length - start < FEW || !later.length, all = /** @type {number[]} */ (later);
  const [least, most] = few ? [low ?? 0, high ?? 1] : [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
  const wide = most - least || Math.abs(most) || 1, floor = least - 0.08 * wide;
  return [least >= 0 && floor < 0 ? 0 : floor, most + 0.08 * wide];
}

/** @param {uPlot | null} plot
 * @param {number[]} steps
 * @param {(step: number) => void} chosen */
function pick(plot, steps, chosen) {
  const at = plot?.cursor.idx;
  if (at !== null && at !== undefined && steps[at] !== undefined) chosen(steps[at]);
}

/** @param {HTMLElement} place
 * @param {() => Chart} chart as it is now
 * @param {() => number} marked
 * @param {(at: number | null | undefined) => void} told which step is under the pointer
 * @returns {uPlot.Options} */
function options(place, chart, marked, told) {
  const { curves, band } = chart();
  const tone = colours(place), { soft, line, edge, font } = tone, drawn = strokes(curves, tone);
  const axis = { stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  return {
    width: place.clientWidth, height: HEIGHT, padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { points: { size: 5 }, drag: { x: false, y: false }, y: false },
    scales: { x: { time: false }, y: { range: (_, low, high) => chart().range ?? spread(chart(), low, high) } },
    axes: [
      { ...axis, size: 30, values: (_, all) => all.map((v) => (Number.isInteger(v) ? short.format(v) : "")) },
      { ...axis, size: 52, values: (_, all) => all.map((v) => short.format(v)) },
    ],
    series: [
      {},
      ...drawn.map(({ colour, dotted }, k) => ({
        stroke: colour, width: curves[k].hidden ? 0 : 1.5, points: { show: curves[k].values.length < 2 }, spanGaps: true, ...(dotted ? { dash: [4, 4] } : {}),
      })),
    ],
    bands: band ? [{ series: /** @type {[number, number]} */ (band.map((i) => i + 1)), fill: `color-mix(in srgb, ${soft} 22%, transparent)` }] : [],
    hooks: { draw: [(plot) => rule(plot, marked(), edge)], setCursor: [(plot) => told(plot.cursor.idx)] },
  };
}

/** @param {uPlot} plot
 * @param {number} step a line across the plane
 * @param {string} colour */
function rule(plot, step, colour) {
  const { min, max } = plot.scales.x;
  if (min === undefined || max === undefined || step < min || step > max) return;
  const { ctx, bbox } = plot, x = Math.round(plot.valToPos(step, "x", true)) + 0.5;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio || 1;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

/** A canvas as sharp as the screen, and its size in css pixels.
 * @param {HTMLCanvasElement} canvas */
export function sharpened(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = devicePixelRatio || 1;
  const context = canvas.getContext("2d");
  if (!context || !width || !height) return null;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

/** The mean of what a histogram counts, from the middles of its bins.
 * @param {Histogram} histogram */
export function meanOf({ low, high, counts }) {
  const total = counts.reduce((a, b) => a + b, 0), wide = (high - low) / counts.length;
  return total ? counts.reduce((sum, count, k) => sum + count * (low + (k + 0.5) * wide), 0) / total : NaN;
}

/** Two histograms over one axis: fake answers in the accent, real ones in ink.
 * @param {HTMLCanvasElement} canvas
 * @param {{real?: Histogram, fake?: Histogram}} pair */
export function paintAnswers(canvas, { real, fake }) {
  const sharp = sharpened(canvas), known = real ?? fake;
  if (!sharp || !known) return;
  const { context, width, height } = sharp, { ink, soft, line, accent, font } = colours(canvas);
  const floor = height - 20, most = Math.max(...[real, fake].flatMap((one) => one?.counts ?? []), 1);
  context.clearRect(0, 0, width, height);
  context.font = font;
  const place = (/** @type {Histogram} */ one) => ((meanOf(one) - one.low) / (one.high - one.low)) * width;
  const before = real && fake ? meanOf(fake) <= meanOf(real) : true; // the names stand on the outer sides of their lines
  for (const { one, colour, name } of [{ one: fake, colour: accent, name: "fake" }, { one: real, colour: ink, name: "real" }]) {
    if (!one) continue;
    const step = width / one.counts.length;
    context.beginPath();
    context.moveTo(0, floor);
    one.counts.forEach((count, k) => {
      const y = floor - (count / most) * (floor - 18);
      context.lineTo(k * step, y);
      context.lineTo((k + 1) * step, y);
    });
    context.lineTo(width, floor);
    context.globalAlpha = name === "fake" ? 0.3 : 0.16;
    context.fillStyle = context.strokeStyle = colour;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
    labelled(context, name, place(one), floor, (name === "fake") === before);
  }
  context.fillStyle = line;
  context.fillRect(0, floor, width, 1);
  context.fillStyle = soft;
  context.fillText(exact.format(known.low), 0, height - 4);
  context.textAlign = "right";
  context.fillText(exact.format(known.high), width, height - 4);
}

/** A name above the mean, and a line down to the axis.
 * @param {CanvasRenderingContext2D} context
 * @param {string} name
 * @param {number} x
 * @param {number} floor
 * @param {boolean} left of the line, where there is room */
function labelled(context, name, x, floor, left) {
  const room = context.measureText(name).width + 5;
  context.fillText(name, left && x > room ? x - room : Math.min(x + 5, context.canvas.clientWidth - room), 12);
  context.fillRect(Math.round(x) - 0.5, 2, 1, floor - 2);
}

/** The answers of a whole run: a column for each record, darker where more images lie.
 * @param {HTMLCanvasElement} canvas
 * @param {{shares: Float32Array, columns: number, names: number, bins: number}} game
 * @param {[number, number]} pair the places of real and of fake among the names; -1: none
 * @param {number} at the column that is marked */
export function paintGame(canvas, { shares, columns, names, bins }, pair, at) {
  const sharp = sharpened(canvas);
  if (!sharp || !columns) return;
  const { context, width, height } = sharp, { ink, accent } = colours(canvas), wide = width / columns, tall = height / bins;
  context.clearRect(0, 0, width, height);
  for (const [place, colour] of /** @type {[number, string][]} */ ([[pair[1], accent], [pair[0], ink]])) {
    if (place < 0) continue;
    context.fillStyle = colour;
    for (let i = 0; i < columns; i++)
      for (let k = 0; k < bins; k++) {
        context.globalAlpha = Math.min(0.9, 2.2 * Math.sqrt(shares[(i * names + place) * bins + k]) * 0.6);
        if (context.globalAlpha > 0.02) context.fillRect(i * wide, height - (k + 1) * tall, Math.ceil(wide), Math.ceil(tall));
      }
  }
  context.globalAlpha = 1;
  context.fillStyle = ink;
  context.fillRect(Math.round((at + 0.5) * wide), 0, 1, height);
}
