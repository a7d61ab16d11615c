// What of a picture to take away: a PNG file of any size, the function itself, a page; and how to make it again.

import { ask, fieldImage } from "./api.js";
import { button, choices, clamp, copier, make, row, saveAs } from "./dom.js";

const SIZES = [
  ["1024²", 1024, 1024],
  ["Screen", 1920, 1080],
  ["Phone", 1080, 1920],
  ["Poster", 8192, 8192],
];
const FITS = [
  ["fit", "Fit: more ground"],
  ["fill", "Fill: show less"],
  ["stretch", "Stretch"],
];
const PREVIEW = 132; // pixels of the page, of the long side

/** The part of the dialog that takes away; `player` shows the entry. */
export function takeAway(entry, player, limits) {
  const most = limits?.side ?? 8192,
    name = entry.words.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase();
  const chosen = { width: 1024, height: 1024, fit: "fit", seen: false };
  const sides = ["width", "height"].map((side) => {
    const input = make("input", { type: "number", min: 1, max: most, step: 1, value: chosen[side], required: true });
    input.addEventListener("input", () => set({ [side]: clamp(Math.round(input.valueAsNumber) || 1, 1, most) }));
    return [side, input];
  });
  const canvas = make("canvas", { role: "img", "aria-label": "How the picture is placed at this size" });
  const recipe = make("div", { className: "recipe" });
  const place = () => [[chosen.height, chosen.width], { window: chosen.seen ? player.window : null, fit: chosen.fit }];
  let waits = 0,
    version = 0;

  function set(some) {
    Object.assign(chosen, some);
    for (const [side, input] of sides) if (side in some && input !== document.activeElement) input.value = chosen[side];
    clearTimeout(waits);
    waits = setTimeout(refresh, 150);
  }

  /** Draws the small picture and asks how to make the large one again. */
  async function refresh() {
    if (!player.field || !player.isConnected) return;
    const mine = ++version,
      [size, how] = place();
    const scale = Math.min(1, (PREVIEW * devicePixelRatio) / Math.max(...size));
    const [height, width] = size.map((n) => Math.max(1, Math.round(n * scale)));
    const pixels = await player.render([height, width], { window: how.window ?? undefined, fit: how.fit });
    if (mine !== version) return;
    Object.assign(canvas, { height, width });
    canvas.getContext("2d").putImageData(new ImageData(pixels, width), 0, 0);
    canvas.style.width = `${width / devicePixelRatio}px`;
    const address = fieldImage(entry.id, size, how).replace(".png?", "/recipe?");
    const { command, python } = await ask(address).catch(() => ({}));
    if (mine !== version) return;
    recipe.replaceChildren(
      ...[
        command && copier("Copy as command", command),
        python && copier("Copy as Python", python),
        command && make("details", {}, make("summary", {}, "Show the command"), make("pre", { tabIndex: 0 }, command)),
      ].filter(Boolean),
    );
  }

  const save = () => {
    if (!sides.every(([, input]) => input.reportValidity())) return;
    const [size, how] = place();
    saveAs(`${name}-${size.join("x")}.png`, fieldImage(entry.id, size, how));
  };
  const file = (words, ending) => button(words, () => saveAs(`${name}.${ending}`, `/api/fields/${entry.id}.${ending}`));
  player.addEventListener("s2id-open", refresh);
  player.addEventListener("s2id-view", () => chosen.seen && set({}));

  return make(
    "section",
    { className: "take", "aria-labelledby": "taking" },
    make("h3", { id: "taking" }, "Take away"),
    make(
      "div",
      { className: "chips" },
      SIZES.filter(([, w, h]) => Math.max(w, h) <= most).map(([words, width, height]) =>
        button(words, () => set({ width, height }), {
          className: "chip",
          title: `${width}×${height}`,
          "aria-label": `${words}, ${width} by ${height} pixels`,
        }),
      ),
    ),
    make(
      "div",
      { className: "placed" },
      make(
        "div",
        {},
        sides.map(([side, input]) => row(side === "width" ? "Width" : "Height", input)),
      ),
      canvas,
    ),
    choices(
      "What",
      [
        [false, "The whole"],
        [true, "What is seen"],
      ],
      false,
      (seen) => set({ seen }),
      { quiet: true },
    ),
    choices("Where the aspect differs", FITS, "fit", (fit) => set({ fit }), { quiet: true }),
    make(
      "div",
      { className: "actions" },
      button("Save PNG", save, { className: "main" }),
      file("Field file", "safetensors"),
      file("Page", "html"),
    ),
    recipe,
  );
}
