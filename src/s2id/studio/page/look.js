// Looking at one picture: the player, the same at the training size beside it, and what to take away.

import { button, make, say } from "./dom.js";
import { bicubic, squares } from "./resample.js";
import { takeAway } from "./take.js";
import { wayPart } from "./way.js";

const MOVES = ["pointermove", "wheel", "keydown", "click", "s2id-view"]; // what may change the player's view
const GLIDE_MS = 400; // for so long it may go on changing

/**
 * Opens entries {id, words, size, model} in a dialog, the one at `at` first.
 *
 * Args:
 *   limits: the server's bounds.
 *   use: called with a PNG file of the picture at the size of the training data, to go on with it.
 */
export function lookAt(entries, at, { limits, use }) {
  const title = make("h2"),
    stage = make("div", { className: "stage" }),
    side = make("div", { className: "beside" });
  const dialog = make("dialog", { className: "look" });
  const turn = (step, focus) => show((at + step + entries.length) % entries.length, focus);
  const [before, after] = [
    ["‹", "Previous picture", -1],
    ["›", "Next picture", 1],
  ].map(([sign, name, step]) =>
    button(sign, () => turn(step, false), {
      "aria-label": name,
      title: `${name} (${step < 0 ? "Page up" : "Page down"})`,
      hidden: entries.length < 2,
    }),
  );
  dialog.append(
    make(
      "header",
      {},
      title,
      before,
      after,
      button("Close", () => dialog.close(), { className: "close" }),
    ),
    make("div", { className: "looking" }, stage, side),
  );
  let frame = 0;

  /** Shows something under its name, and beside it what belongs to it. */
  function put(words, shown, beside) {
    title.textContent = words;
    dialog.setAttribute("aria-label", words);
    stage.replaceChildren(...shown);
    side.replaceChildren(...beside);
  }

  /** Shows an entry; its player gets the keys, unless they are to stay with a button. */
  function show(which, focus) {
    at = which;
    const entry = entries[at],
      [height, width] = entry.size;
    cancelAnimationFrame(frame);
    const player = make("s2id-field", { src: `/api/fields/${entry.id}.safetensors`, label: entry.words });
    const compared = comparison(entry);
    let stirred = 0;
    const follow = () => {
      compared.draw(player.window);
      if (performance.now() - stirred < GLIDE_MS) frame = requestAnimationFrame(follow);
    };
    const stir = () => {
      stirred = performance.now();
      cancelAnimationFrame(frame);
      follow();
    };
    const again = button("Go on with it: fill in, enlarge", async () => {
      const file = await player.png([height, width], true);
      dialog.close();
      use(new File([file], `${entry.words.replace(/[^\p{L}\p{N}]+/gu, "-")}.png`, { type: "image/png" }));
    });
    const way = entry.bare ? [] : [wayPart(entry, (words, ...moving) => (words ? put(words, moving, way) : whole()))];
    const parts = [compared.element, takeAway(entry, player, limits), ...way, again];
    const whole = () => put(entry.words, [player], parts);
    whole();
    if (focus) player.canvas.focus();
    player.addEventListener(
      "s2id-open",
      async () => {
        const data = await player.render([height, width]);
        compared.given = { data, height, width };
        compared.draw(player.window);
        for (const name of MOVES) player.addEventListener(name, stir);
      },
      { once: true },
    );
    say(`${entry.words}, ${at + 1} of ${entries.length}`);
  }

  dialog.addEventListener("keydown", (event) => {
    const step = { PageUp: -1, PageDown: 1 }[event.key];
    if (!step || entries.length < 2) return;
    event.preventDefault();
    turn(step, true);
  });
  dialog.addEventListener("close", () => {
    cancelAnimationFrame(frame);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  show(at, true);
}

/** The picture of the training data's size, as squares and by bicubic interpolation, in the window of the player. */
function comparison({ size: [height, width] }) {
  const canvases = [
    [`Its ${width}×${height} pixels`, squares],
    [`Bicubic, from these pixels`, bicubic],
  ].map(([caption, kind]) => {
    const canvas = make("canvas", { role: "img", "aria-label": `${caption}, where the picture is looked at` });
    return { canvas, kind, figure: make("figure", {}, canvas, make("figcaption", {}, caption)) };
  });
  let drawn = "";
  const self = {
    given: null,
    element: make(
      "section",
      { className: "compare", "aria-label": "The same as pixels" },
      canvases.map(({ figure }) => figure),
    ),
    /** Draws a window, unless it is drawn already. */
    draw(window) {
      const wide = Math.round(canvases[0].canvas.clientWidth * Math.min(devicePixelRatio, 2)),
        now = `${window},${wide}`;
      if (now === drawn || !wide || !self.given) return;
      drawn = now;
      const [top, left, bottom, right] = window,
        aspect = ((bottom - top) * height) / ((right - left) * width);
      const high = Math.max(1, Math.min(3 * wide, Math.round(wide * aspect)));
      for (const { canvas, kind } of canvases) {
        Object.assign(canvas, { width: wide, height: high });
        canvas.getContext("2d").putImageData(kind(self.given, window, [high, wide]), 0, 0);
      }
    },
  };
  return self;
}
