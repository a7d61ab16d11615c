// Lines over images seen, as SVG: axes with round numbers, linear or logarithmic, several runs laid over one another.

import { draw, make } from "./dom.js";

const HEIGHT = 240; // of the drawing, in pixels of the page; its width is that of the page
const BOX = { left: 58, right: 12, top: 12, bottom: 36 };
const BUCKETS = 320; // points of a line; each is the mean of the rows that it stands for

/** A number as short as it is told: 0.0123, 12k, 1.5M. */
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
  return size > 0 && size < 1e-3 ? value.toExponential(0) : `${+value.toPrecision(3)}`;
}

/** Round numbers between two, about so many: 1, 2 or 5 times a power of ten apart. */
export function ticks(low, high, wanted = 5) {
  const rough = (high - low) / wanted,
    ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((n) => n * ten >= rough),
    first = Math.ceil(low / step - 1e-9);
  return Array.from(
    { length: Math.floor(high / step + 1e-9) - first + 1 },
    (_, i) => +((first + i) * step).toPrecision(12),
  );
}

/** Powers of ten between two numbers, and their double and fivefold where they are few. */
export function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)),
    last = Math.ceil(Math.log10(high));
  const tens = Array.from({ length: last - first + 1 }, (_, i) => first + i),
    some = last - first > 2 ? [1] : [1, 2, 5];
  return tens.flatMap((ten) => some.map((n) => +(n * 10 ** ten).toPrecision(12))).filter((n) => n >= low && n <= high);
}

/** Points [x, y] of rows, few enough to draw: means of neighbours. What is no number is left out. */
export function thinned(points, most = BUCKETS) {
  const whole = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)),
    per = Math.ceil(whole.length / most);
  const mean = (some, i) => some.reduce((sum, one) => sum + one[i], 0) / some.length;
  return Array.from({ length: Math.ceil(whole.length / (per || 1)) }, (_, i) => {
    const some = whole.slice(i * per, (i + 1) * per);
    return [mean(some, 0), mean(some, 1)];
  });
}

/** The points with every y as the mean of its neighbours, as many on either side. */
export function smoothed(points, reach = 10) {
  return points.map(([x], i) => {
    const half = Math.min(reach, i, points.length - 1 - i),
      some = points.slice(i - half, i + half + 1);
    return [x, some.reduce((sum, [, y]) => sum + y, 0) / some.length];
  });
}

/** A plot of one quantity; `show` draws lines [{name, colour, points}] anew. */
export class Plot {
  #lines = [];

  constructor(title, { log = false, smooth = false } = {}) {
    this.title = title;
    this.svg = draw("svg", { height: HEIGHT, role: "img", class: "plot" });
    new ResizeObserver(() => this.show(this.#lines)).observe(this.svg);
    this.read = make("output", { className: "readout" });
    this.log = make("input", { type: "checkbox", checked: log });
    this.smooth = make("input", { type: "checkbox", checked: smooth });
    for (const box of [this.log, this.smooth]) box.addEventListener("change", () => this.show(this.#lines));
    const caption = make(
      "figcaption",
      {},
      make("h3", {}, title),
      this.read,
      make("label", { className: "check" }, this.smooth, " smooth"),
      make("label", { className: "check" }, this.log, " log axis"),
    );
    this.element = make("figure", { className: "plotted" }, caption, this.svg);
    this.svg.addEventListener("pointermove", (event) => this.#hover(event));
    this.svg.addEventListener("pointerleave", () => this.#hover(null));
  }

  show(lines) {
    this.#lines = lines;
    this.width = Math.max(200, this.svg.clientWidth);
    const log = this.log.checked,
      kept = lines.map((line) => ({
        ...line,
        points: thinned(log ? line.points.filter(([, y]) => y > 0) : line.points),
      }));
    const all = kept.flatMap(({ points }) => points);
    this.svg.replaceChildren(this.#named(kept));
    this.kept = all.length ? kept : null;
    if (!all.length) return this.svg.append(text(this.width / 2, HEIGHT / 2, "no rows yet", "middle"));
    const [xs, ys] = [0, 1].map((i) => all.map((one) => one[i]));
    const least = (values) => values.reduce((a, b) => Math.min(a, b)),
      most = (values) => values.reduce((a, b) => Math.max(a, b));
    let [low, high] = [least(ys), most(ys)];
    if (!log) [low, high] = [Math.min(0, low), high > low || high > 0 ? high : low + 1];
    else if (high / low < 1.5) [low, high] = [low / 1.3, high * 1.3];
    const right = Math.max(most(xs), 1),
      f = log ? Math.log : (y) => y;
    this.x = (value) => BOX.left + (value / right) * (this.width - BOX.left - BOX.right);
    this.y = (value) =>
      HEIGHT - BOX.bottom - ((f(value) - f(low)) / (f(high) - f(low))) * (HEIGHT - BOX.top - BOX.bottom);
    this.#axes(right, log ? logTicks(low, high) : ticks(low, high));
    const path = (points) => points.map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`).join(" ");
    const line = (points, colour, kind = "") =>
      this.svg.append(draw("polyline", { points: path(points), class: `line run-${colour} ${kind}` }));
    for (const { points, colour } of kept) line(points, colour, this.smooth.checked ? "raw" : "");
    if (this.smooth.checked) for (const { points, colour } of kept) line(smoothed(points), colour);
    this.cross = draw("line", { class: "cross", y1: BOX.top, y2: HEIGHT - BOX.bottom, visibility: "hidden" });
    this.svg.append(this.cross);
  }

  #axes(right, marks) {
    const [bottom, left] = [HEIGHT - BOX.bottom, BOX.left];
    for (const value of ticks(0, right, this.width / 120)) {
      const x = this.x(value);
      this.svg.append(
        draw("line", { x1: x, x2: x, y1: bottom, y2: bottom + 4, class: "axis" }),
        text(x, bottom + 17, short(value), "middle"),
      );
    }
    for (const value of marks) {
      const y = this.y(value);
      this.svg.append(
        draw("line", { x1: left, x2: this.width - BOX.right, y1: y, y2: y, class: "grid" }),
        text(left - 6, y + 4, short(value), "end"),
      );
    }
    this.svg.append(draw("line", { x1: left, x2: this.width - BOX.right, y1: bottom, y2: bottom, class: "axis" }));
    this.svg.append(text((left + this.width - BOX.right) / 2, HEIGHT - 3, "images seen", "middle"));
  }

  /** The plot in words, for those who do not see it. */
  #named(lines) {
    const named = draw("title"),
      last = ({ name, points }) => `${name}: ${short(points.at(-1)[1])} after ${short(points.at(-1)[0])} images`;
    named.textContent = [this.title, ...lines.filter(({ points }) => points.length).map(last)].join("; ");
    return named;
  }

  #hover(event) {
    this.cross?.setAttribute("visibility", event && this.kept ? "visible" : "hidden");
    this.read.textContent = "";
    if (!event || !this.kept) return;
    const at = event.clientX - this.svg.getBoundingClientRect().left;
    const near = (points) =>
      points.reduce((a, b) => (Math.abs(this.x(a[0]) - at) < Math.abs(this.x(b[0]) - at) ? a : b));
    const found = this.kept.filter(({ points }) => points.length).map(({ name, points }) => [name, near(points)]);
    const x = this.x(found[0][1][0]);
    this.cross.setAttribute("x1", x);
    this.cross.setAttribute("x2", x);
    const said = found.map(([name, [, y]]) => (found.length > 1 ? `${name} ${short(y)}` : short(y)));
    this.read.textContent = `${said.join(", ")} at ${short(found[0][1][0])}`;
  }
}

function text(x, y, words, anchor) {
  const one = draw("text", { x, y, "text-anchor": anchor });
  one.textContent = words;
  return one;
}
