// Painting over a picture what is to be drawn anew, by mouse, pen, finger or keys.

import { button, clamp, make, row, say } from "./dom.js";

const COLOUR = "#e0218a"; // a colour that drawings seldom have

/** A picture to paint on. Its strokes are kept as paths, so that each can be undone. */
export class Brush {
  #strokes = []; // {points, size, erase}, in pixels of the picture
  #now = null; // the stroke that is being made
  #cursor; // of the keys
  #down = false; // whether the keys' cursor paints as it moves

  /** Args: picture: an image with `width` and `height`. */
  constructor(picture) {
    const { width, height } = picture;
    Object.assign(this, { width, height, picture });
    this.#cursor = [width / 2, height / 2];
    this.canvas = make("canvas", {
      width,
      height,
      tabIndex: 0,
      role: "application",
      className: "painted",
      "aria-roledescription": "picture to paint on",
      "aria-label": "Paint what is to be drawn anew",
    });
    this.mask = Object.assign(document.createElement("canvas"), { width, height });
    this.size = make("input", {
      type: "range",
      min: 1,
      max: Math.max(4, Math.round(Math.max(width, height) / 3)),
      step: 1,
    });
    this.size.value = Math.max(1, Math.round(Math.max(width, height) / 9));
    this.eraser = button("Erase", () => this.#toggle(), { "aria-pressed": "false", title: "e" });
    const tools = make(
      "div",
      { className: "actions" },
      this.eraser,
      button("Undo", () => this.undo(), { title: "Ctrl + Z" }),
      button("Clear", () => this.clear()),
    );
    const hint = "Keys: arrows move, space paints, [ and ] change the brush, e erases, Ctrl + Z undoes.";
    this.share = make("output", { className: "status" });
    this.element = make("div", { className: "brush" }, this.canvas, row("Brush", this.size, hint), tools, this.share);
    this.canvas.addEventListener("pointerdown", (event) => this.#press(event));
    this.canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => this.#lift());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["focus", "blur"]) this.canvas.addEventListener(name, () => this.#draw());
    this.#draw();
  }

  undo() {
    this.#strokes.pop();
    this.#replay();
  }

  clear() {
    this.#strokes = [];
    this.#replay();
  }

  get empty() {
    return !this.#painted().some(Boolean);
  }

  /** A PNG file of the picture's size: white where the picture is kept, black where it is painted over. */
  file() {
    const made = Object.assign(document.createElement("canvas"), { width: this.width, height: this.height });
    const data = new ImageData(this.width, this.height);
    this.#painted().forEach((painted, i) => data.data.set(painted ? [0, 0, 0, 255] : [255, 255, 255, 255], 4 * i));
    made.getContext("2d").putImageData(data, 0, 0);
    return new Promise((resolve) => made.toBlob(resolve, "image/png"));
  }

  /** Whether each pixel is painted over by half or more. */
  #painted() {
    const { data } = this.mask.getContext("2d").getImageData(0, 0, this.width, this.height);
    return Uint8Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3] >= 128);
  }

  #toggle() {
    const on = this.eraser.getAttribute("aria-pressed") !== "true";
    this.eraser.setAttribute("aria-pressed", on);
  }

  /** Position of a pointer, (x, y) in pixels of the picture. */
  #at({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [((clientX - left) / width) * this.width, ((clientY - top) / height) * this.height];
  }

  #begin(point) {
    this.#now = {
      points: [point],
      size: this.size.valueAsNumber,
      erase: this.eraser.getAttribute("aria-pressed") === "true",
    };
    this.#strokes.push(this.#now);
    this.#stroke(this.#now);
    this.#draw();
  }

  #press(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#at(event));
  }

  #drag(event) {
    this.#cursor = this.#at(event);
    if (!this.#now) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.#now.points.push(this.#at(one));
    this.#stroke({ ...this.#now, points: this.#now.points.slice(-8) });
    this.#draw();
  }

  #lift() {
    if (!this.#now) return;
    this.#now = null;
    this.#tell();
  }

  #key(event) {
    const { key } = event,
      step = event.shiftKey ? this.size.valueAsNumber : 1;
    const move = { ArrowUp: [0, -step], ArrowDown: [0, step], ArrowLeft: [-step, 0], ArrowRight: [step, 0] }[key];
    if (move) {
      this.#cursor = [
        clamp(this.#cursor[0] + move[0], 0, this.width),
        clamp(this.#cursor[1] + move[1], 0, this.height),
      ];
      if (this.#down) this.#begin([...this.#cursor]);
    } else if (key === " ") {
      this.#down = !this.#down;
      if (this.#down) this.#begin([...this.#cursor]);
      say(this.#down ? "painting" : "not painting");
    } else if (key === "[" || key === "]") {
      this.size.value = this.size.valueAsNumber + (key === "]" ? 1 : -1);
    } else if (key === "e") {
      this.#toggle();
    } else if (key === "z" && (event.ctrlKey || event.metaKey)) {
      this.undo();
    } else {
      return;
    }
    event.preventDefault();
    this.#now = null;
    this.#tell();
    this.#draw();
  }

  #replay() {
    this.mask.getContext("2d").clearRect(0, 0, this.width, this.height);
    this.#strokes.forEach((stroke) => this.#stroke(stroke));
    this.#draw();
    this.#tell();
  }

  #stroke({ points, size, erase }) {
    const pen = this.mask.getContext("2d", { willReadFrequently: true });
    pen.globalCompositeOperation = erase ? "destination-out" : "source-over";
    Object.assign(pen, { lineWidth: size, lineCap: "round", lineJoin: "round", strokeStyle: COLOUR });
    pen.beginPath();
    pen.moveTo(points[0][0] - 1e-3, points[0][1]); // a line without length would not be drawn
    for (const point of points) pen.lineTo(...point);
    pen.stroke();
  }

  #draw() {
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, this.width, this.height);
    pen.drawImage(this.picture, 0, 0, this.width, this.height);
    pen.globalAlpha = 0.75;
    pen.drawImage(this.mask, 0, 0);
    pen.globalAlpha = 1;
    if (document.activeElement !== this.canvas) return;
    Object.assign(pen, { strokeStyle: COLOUR, lineWidth: Math.max(1, this.width / 200) });
    pen.beginPath();
    pen.arc(...this.#cursor, this.size.valueAsNumber / 2, 0, 2 * Math.PI);
    pen.stroke();
  }

  #tell() {
    const painted = this.#painted(),
      share = painted.reduce((a, b) => a + b, 0) / painted.length;
    this.share.textContent = share
      ? `${Math.max(1, Math.round(100 * share))} % painted over`
      : "nothing is painted over yet";
  }
}
