// What comes of a picture: answers, their mean and spread; a large picture over the small one; a motion.

import { button, draw, make, saveAs } from "./dom.js";
import { bicubic } from "./resample.js";

const NAMES = { result: "Result", mean: "Mean of the answers", spread: "Where they differ (white: most)" };

/** Pictures of a job, shown as its events are heard. */
export class Outcome {
  #fields = new Map(); // entries for the player, by the number of the answer
  #pictures = new Map(); // by role and number

  /**
   * Args:
   *   task: what is done, as in the server's address.
   *   given: {file, bitmap, shown, mask}: the picture, what of it is to be seen, and the file of its mask, if any.
   *   how: {model, seeds, look}.
   */
  constructor(task, { file, bitmap, shown, mask }, how) {
    Object.assign(this, { task, file, bitmap, ...how });
    this.grid = make("ul", { className: "answers", "aria-label": "Results" });
    this.element = make("div", {}, this.grid);
    if (shown) this.grid.append(given(file, shown, mask));
  }

  summary() {
    const answers = [...this.#pictures.keys()].filter((key) => key.startsWith("answer")).length;
    return answers > 1 ? `${answers} answers` : "";
  }

  hear(event) {
    if (event.kind === "preview" && this.task === "restore")
      this.#show(`answer/${event.index}`, this.#answer(event.index), event.src);
    if (event.kind === "field") this.#field(event);
    if (event.kind === "picture") this.#picture(event);
    if (event.kind === "motion") this.element.append(motion(event.shifts));
  }

  #answer = (index) => `Answer, seed ${this.seeds[index] ?? index}`;

  #field(event) {
    const index = event.index ?? 0,
      words = `${this.file.name}${this.task === "restore" ? `, seed ${this.seeds[index]}` : ""}`;
    this.#fields.set(index, { words, model: this.model, bare: true, ...event });
    this.#openable(index);
  }

  #picture({ role, id, size, index = 0 }) {
    const key = role === "answer" ? `answer/${index}` : role === "result" ? "answer/0" : role;
    const unsure = role === "spread" && this.task === "depixelate" && "Uncertainty (white: most)";
    const words = role === "answer" ? this.#answer(index) : unsure || (NAMES[role] ?? role);
    const src = `/api/pictures/${id}.png`;
    this.#show(key, words, src, size);
    if (this.task === "upscale" && role === "result" && this.bitmap) {
      const place = this.#pictures.get(key);
      place.className = "wiped";
      place.querySelector("img").replaceWith(wipe(this.bitmap, src, size));
    }
    this.#openable(index);
  }

  /** Shows a picture in its place, with a button that saves it once it is finished. */
  #show(key, words, src, size) {
    const held = this.#pictures.get(key);
    if (held && !size) return held.querySelector("img").setAttribute("src", src); // a preview
    const caption = make("figcaption", {}, words, size ? ` · ${size[1]}×${size[0]}` : "");
    const actions = make("div", { className: "actions" });
    if (size)
      actions.append(
        button("Save PNG", () => saveAs(`${words.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase()}.png`, src)),
      );
    const figure = make(
      "figure",
      {},
      make("img", { src, alt: words, className: size && Math.max(...size) < 128 ? "small" : "" }),
      caption,
      actions,
    );
    const place = make("li", {}, figure);
    if (held) held.replaceWith(place);
    else this.grid.append(place);
    this.#pictures.set(key, place);
  }

  /** Lets an answer be opened in the player once both its picture and its function are there. */
  #openable(index) {
    const entry = this.#fields.get(index),
      place = this.#pictures.get(`answer/${index}`)?.querySelector(".actions");
    if (!entry || !place || place.querySelector(".zoom")) return;
    const open = () => {
      const entries = [...this.#fields.keys()].sort((a, b) => a - b);
      this.look(
        entries.map((i) => this.#fields.get(i)),
        entries.indexOf(index),
      );
    };
    place.prepend(button("Zoom in", open, { className: "zoom" }));
  }
}

/** The given picture as it was painted on; what the command needs can be saved, if it is not on the disk. */
function given(file, shown, mask) {
  const { width, height } = shown,
    canvas = make("canvas", { width, height, role: "img", "aria-label": "The given picture" });
  canvas.getContext("2d").drawImage(shown, 0, 0);
  const save = (words, one) =>
    button(words, () => {
      const address = URL.createObjectURL(one);
      saveAs(one.name ?? "mask.png", address);
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    });
  return make(
    "li",
    {},
    make(
      "figure",
      {},
      canvas,
      make("figcaption", {}, `Given · ${width}×${height}`),
      make("div", { className: "actions" }, save("Save given", file), mask && save("Save mask", mask)),
    ),
  );
}

/** The given picture, enlarged by bicubic interpolation, and the result, with an edge between them to move. */
function wipe(bitmap, src, [height, width]) {
  const scale = Math.min(1, 1024 / Math.max(height, width)),
    size = [height, width].map((n) => Math.max(1, Math.round(n * scale)));
  const source = Object.assign(document.createElement("canvas"), { width: bitmap.width, height: bitmap.height });
  const pen = source.getContext("2d", { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const before = make("canvas", {
    height: size[0],
    width: size[1],
    role: "img",
    "aria-label": "The given picture, by bicubic interpolation",
  });
  before
    .getContext("2d")
    .putImageData(bicubic(pen.getImageData(0, 0, bitmap.width, bitmap.height), [0, 0, 1, 1], size), 0, 0);
  const after = make("img", { src, alt: "The result" });
  const edge = make("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 50,
    "aria-label": "How much of the given picture is shown, in per cent",
  });
  const stack = make(
    "div",
    { className: "wipe", style: { "aspect-ratio": `${width} / ${height}` } },
    before,
    after,
    edge,
  );
  const move = () => stack.style.setProperty("--edge", `${edge.value}%`);
  edge.addEventListener("input", move);
  move();
  stack.append(make("span", { "aria-hidden": "true" }, "bicubic"), make("span", { "aria-hidden": "true" }, "result"));
  return stack;
}

/** Where the camera was in every frame, in pixels of a frame, as a path. */
function motion(shifts) {
  const reach = Math.max(0.5, ...shifts.flat().map(Math.abs)) * 1.2,
    side = 240,
    half = side / 2;
  const at = ([y, x]) => [half + (x / reach) * half, half + (y / reach) * half];
  const line = (x1, y1, x2, y2) => draw("line", { x1, y1, x2, y2, class: "axis" });
  const text = (x, y, words, anchor) => {
    const one = draw("text", { x, y, "text-anchor": anchor });
    one.textContent = words;
    return one;
  };
  const svg = draw("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", class: "motion" });
  const named = draw("title");
  named.textContent = `Motion over ${shifts.length} frames: ${shifts
    .slice(0, 12)
    .map(([y, x]) => `${y.toFixed(2)} down, ${x.toFixed(2)} right`)
    .join("; ")}`;
  svg.append(named, line(0, half, side, half), line(half, 0, half, side));
  svg.append(draw("polyline", { points: shifts.map((one) => at(one).join(",")).join(" "), class: "path" }));
  shifts.forEach((one, i) => {
    const [cx, cy] = at(one);
    svg.append(draw("circle", { cx, cy, r: i ? 3 : 5, class: i ? "dot" : "dot first" }));
    if (i === 0 || i === shifts.length - 1) svg.append(text(cx + 6, cy - 6, i ? `${i + 1}` : "1", "start"));
  });
  svg.append(text(side - 4, half - 5, `${reach.toFixed(1)} px`, "end"));
  return make(
    "figure",
    { className: "moved" },
    svg,
    make("figcaption", {}, "Motion of the camera, in pixels of a frame"),
  );
}
