// A sheet of pictures, one per seed, that fills while the pictures are drawn.

import { fieldImage } from "./api.js";
import { clamp, make } from "./dom.js";

const MOST_SEED = 2n ** 64n - 1n;

/** Seeds of a text such as "0-11" or "1,5,9", as texts, because they have up to 20 digits; or a sentence why not. */
export function parseSeeds(text, most) {
  const seeds = [];
  for (const part of text.split(",")) {
    const [, from, to = from] = part.match(/^\s*(\d+)(?:\s*-\s*(\d+))?\s*$/) ?? [];
    if (from === undefined) return { wrong: `Seeds are whole numbers, as 7, 0-11 or 1,5,9; "${part.trim()}" is none.` };
    const [first, last] = [BigInt(from), BigInt(to)];
    if (last < first || last > MOST_SEED)
      return { wrong: `The range of seeds ${part.trim()} does not rise, or is too large.` };
    if (last - first >= BigInt(most) || seeds.length >= most)
      return { wrong: `A sheet holds at most ${most} pictures; give fewer seeds.` };
    for (let seed = first; seed <= last; seed++) seeds.push(`${seed}`);
  }
  return seeds.length > most ? { wrong: `A sheet holds at most ${most} pictures; give fewer seeds.` } : { seeds };
}

/** A sheet of empty tiles; with two `sides`, each tile holds two pictures of the same seed, side by side. */
export class Sheet {
  /**
   * Args:
   *   seeds: a seed for each tile.
   *   size: height and width of the training pictures, for the tiles' aspect.
   *   sides: names of what each tile shows, [""] or ["A", "B"].
   *   open: called with the entries of the sheet and the position of the one that was chosen.
   */
  constructor({ seeds, size, sides, open }) {
    this.sides = sides;
    this.open = open;
    this.entries = new Map(); // by "side/index"
    this.tiles = seeds.map((seed, index) => this.#tile(seed, index, size));
    this.element = make("ul", { className: `sheet sides-${sides.length}`, "aria-label": "Pictures" }, this.tiles);
    this.element.addEventListener("keydown", (event) => this.#move(event));
    this.drawn = 0;
    for (const [i, one] of this.buttons().entries()) one.tabIndex = i ? -1 : 0;
  }

  buttons = () => [...this.element.querySelectorAll("button")];

  #tile(seed, index, [height, width]) {
    const looks = this.sides.map((name, side) =>
      make(
        "button",
        {
          type: "button",
          disabled: true,
          data: { side, index },
          "aria-label": `${name && `${name}: `}seed ${seed}, not drawn yet`,
          style: { "aspect-ratio": `${width} / ${height}` },
          on: { click: () => this.#choose(side, index) },
        },
        make("img", { alt: "" }),
        name ? make("span", { className: "side", "aria-hidden": "true" }, name) : null,
      ),
    );
    return make(
      "li",
      {},
      make("div", { className: "looks" }, looks),
      make("span", { className: "caption" }, `seed ${seed}`),
    );
  }

  #look = (side, index) => this.tiles[index]?.querySelectorAll("button")[side];

  /** Shows a step of the solver. */
  preview(side, index, src) {
    const look = this.#look(side, index);
    if (look && look.disabled) look.firstChild.src = src;
  }

  /** Shows a finished picture, which can be opened from now on. */
  field(side, entry) {
    const look = this.#look(side, entry.index),
      tile = this.tiles[entry.index];
    if (!look) return;
    const [height, width] = entry.size,
      pixels = Math.ceil((look.clientWidth * devicePixelRatio) / 64) * 64 || 192;
    const scale = clamp(pixels, 64, 512) / Math.max(height, width);
    const sharp = new Image();
    sharp.alt = "";
    sharp.onload = () => look.firstChild.replaceWith(sharp);
    sharp.src = fieldImage(
      entry.id,
      [height, width].map((n) => Math.round(n * scale)),
    );
    const words = [entry.label, `seed ${entry.seed}`].filter(Boolean).join(", ");
    const name = this.sides[side];
    look.disabled = false;
    look.setAttribute("aria-label", `${name && `${name}: `}${words}; look closer`);
    tile.querySelector(".caption").textContent = words;
    this.entries.set(`${side}/${entry.index}`, { ...entry, words: `${words}${name && `, ${name}`}` });
    this.drawn++;
  }

  /** Leaves out the tiles of which nothing was drawn, as after a cancellation. */
  end() {
    for (const tile of this.tiles) if (!tile.querySelector("button:enabled")) tile.remove();
  }

  #choose(side, index) {
    const keys = [...this.entries.keys()].sort((a, b) => {
      const [[s, i], [t, j]] = [a, b].map((key) => key.split("/").map(Number));
      return i - j || s - t;
    });
    this.open(
      keys.map((key) => this.entries.get(key)),
      keys.indexOf(`${side}/${index}`),
    );
  }

  /** Arrow keys go from tile to tile, so that the sheet is one stop of the tab key. */
  #move(event) {
    const all = this.buttons(),
      at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const across = all.filter(
      (one) => one.offsetTop === all[0].offsetTop && one.closest("li").offsetTop === all[0].closest("li").offsetTop,
    );
    const to = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: at + across.length,
      ArrowUp: at - across.length,
      Home: 0,
      End: all.length - 1,
    };
    const next = all[to[event.key]];
    if (!(event.key in to)) return;
    event.preventDefault();
    if (!next || next.disabled) return;
    all[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
