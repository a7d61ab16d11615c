// What of a picture to take away: a PNG file of any size, the function itself, a page; and how to make it again.

import { ask, fieldImage } from "./api.js";
import { button, choices, clamp, copier, folded, make, row, saveAs } from "./dom.js";

const FORMS = {
  png: ["Picture", ""],
  safetensors: ["Field file", "The function itself: s2id render draws it at any size, without the model."],
  html: ["Page", "One file that any browser zooms into, without S2ID and without a network."],
};
const SIZES = [
  ["Square", 1024, 1024],
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
  const most = limits.side;
  const name = entry.words.replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase();
  const chosen = { form: "png", width: 1024, height: 1024, fit: "fit", seen: false };
  const place = () => [[chosen.height, chosen.width], { window: chosen.seen ? player.window : null, fit: chosen.fit }];
  const note = make("small");
  const canvas = make("canvas", { role: "img", "aria-label": "How the picture is placed at this size" });
  const recipe = make("div", { className: "recipe" });
  let waits = 0;
  let version = 0;

  function set(some) {
    Object.assign(chosen, some);
    picture.hidden = chosen.form !== "png";
    note.textContent = FORMS[chosen.form][1];
    for (const [side, input] of sides) {
      if (side in some && input !== document.activeElement) input.value = chosen[side];
    }
    clearTimeout(waits);
    waits = setTimeout(refresh, 150);
  }

  /** Draws the small picture and asks how to make the file again. */
  async function refresh() {
    if (!player.field || !player.isConnected) return;
    const mine = ++version;
    if (chosen.form === "png") await preview();
    if (entry.bare) return; // it came with others from a picture, and so does its command
    const { command, python } = await ask(address("recipe")).catch(() => ({}));
    if (mine !== version) return;
    const shown = folded("Show the command", make("pre", { tabIndex: 0 }, command));
    recipe.replaceChildren();
    if (command) recipe.append(copier("Copy as command", command), copier("Copy as Python", python), shown);
  }

  async function preview() {
    const [size, { window, fit }] = place();
    const scale = Math.min(1, (PREVIEW * devicePixelRatio) / Math.max(...size));
    const [height, width] = size.map((n) => Math.max(1, Math.round(n * scale)));
    const pixels = await player.render([height, width], { window: window ?? undefined, fit });
    Object.assign(canvas, { height, width });
    canvas.getContext("2d").putImageData(new ImageData(pixels, width), 0, 0);
    canvas.style.width = `${width / devicePixelRatio}px`;
  }

  /** Address of the file that is chosen, or of how to make it. */
  function address(what) {
    const file = chosen.form === "png" ? fieldImage(entry.id, ...place()) : `/api/fields/${entry.id}.${chosen.form}?`;
    return what === "file" ? file : file.replace(/\.\w+\?/, `/recipe?form=${chosen.form}&`);
  }

  const save = () => {
    const large = chosen.width * chosen.height > limits.picture_pixels;
    sides[0][1].setCustomValidity(large ? `At most ${limits.picture_pixels.toLocaleString("en")} pixels in all.` : "");
    if (!picture.hidden && !sides.every(([, input]) => input.reportValidity())) return;
    const size = chosen.form === "png" ? `-${chosen.height}x${chosen.width}` : "";
    saveAs(`${name}${size}.${chosen.form}`, address("file"));
  };
  const sides = ["width", "height"].map((side) => {
    const input = make("input", { type: "number", min: 1, max: most, step: 1, value: chosen[side], required: true });
    input.addEventListener("input", () => set({ [side]: clamp(Math.round(input.valueAsNumber) || 1, 1, most) }));
    return [side, input];
  });
  const sized = ([words, width, height]) =>
    button(words, () => set({ width, height }), {
      className: "chip",
      title: `${width}×${height}`,
      "aria-label": `${words}, ${width} by ${height} pixels`,
    });
  const picture = make(
    "div",
    { className: "take" },
    make("div", { className: "chips" }, SIZES.filter(([, w, h]) => w * h <= limits.picture_pixels).map(sized)),
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
  );
  player.addEventListener("s2id-open", refresh);
  player.addEventListener("s2id-view", () => chosen.seen && set({}));

  const forms = Object.entries(FORMS).map(([form, [words]]) => [form, words]);
  return make(
    "section",
    { className: "take", "aria-labelledby": "taking" },
    make("h3", { id: "taking" }, "Take away"),
    choices("As what", forms, "png", (form) => set({ form }), { quiet: true, className: "tabs" }),
    picture,
    note,
    make("div", { className: "actions" }, button("Save", save, { className: "main" })),
    recipe,
    make(
      "div",
      { className: "row" },
      copier("Copy the IIIF address", new URL(`/iiif/${entry.id}/info.json`, location.href).href),
      make("small", {}, "for OpenSeadragon, Mirador and other viewers, while this studio keeps the picture"),
    ),
  );
}
