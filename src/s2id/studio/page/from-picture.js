// From pictures to better ones: enlarged, filled in, or fused from the frames of a moving camera.

import { Brush } from "./brush.js";
import { modelPicker } from "./compose.js";
import { NOTHING, asked, conditions } from "./conditions.js";
import { button, choices, count, folded, make, row, settled } from "./dom.js";
import { Job, Jobs } from "./job.js";
import { Outcome } from "./outcome.js";
import { samplingControls, settingsFor } from "./sampling.js";
import { parseSeeds } from "./sheet.js";
import { keep, settingsOf } from "./state.js";

const START = {
  task: "upscale",
  model: "",
  ...NOTHING,
  scale: 8,
  size: "",
  long: 112,
  seeds: "0-3",
  noise: 0,
  sampling: {},
  prior: false,
};

/** The three tasks: what they are called, how they begin, and what they take. */
const TASKS = {
  upscale: { name: "Enlarge", empty: "Drop a picture here", accept: "image/*", go: "Enlarge" },
  restore: { name: "Fill in", empty: "Drop a picture here", accept: "image/*", go: "Fill in" },
  depixelate: {
    name: "De-pixelate",
    empty: "Drop a GIF, or frames of a moving camera",
    accept: "image/*",
    go: "De-pixelate",
  },
};

/** The view; `look` opens an entry of a list in the player. */
export function pictureView({ models, limits, look }) {
  const state = structuredClone(settingsOf("picture", START));
  if (!(state.task in TASKS)) state.task = "upscale";
  const changed = () => keep("picture", state, START);
  const panel = make("form", { className: "panel", "aria-label": "What to do with a picture" });
  const wrong = make("p", { role: "alert", className: "error" });
  const go = make("button", { type: "submit", className: "main", title: "Ctrl + Enter" });
  const stop = button("Cancel", null);
  const jobs = new Jobs(
    "Drop, paste or choose a picture. It goes to the program on your computer that serves this page, and nowhere else.",
    stop,
  );
  let files = [],
    brush = null,
    picture = null;

  const able = () => models.filter((model) => model.can[state.task]);
  const model = () => able().find(({ name }) => name === state.model) ?? able()[0];

  function number(label, name, { help, ...bounds }) {
    const input = make("input", {
      type: "number",
      value: state[name],
      step: "any",
      required: START[name] !== "",
      ...bounds,
    });
    input.addEventListener("change", () => {
      if (!input.reportValidity()) return;
      state[name] = typeof START[name] === "string" ? input.value : input.valueAsNumber;
      changed();
    });
    return row(label, input, help);
  }

  /** Builds the panel for the task; pictures that were dropped stay. */
  function build() {
    const own = model(),
      task = TASKS[state.task],
      most = limits.side;
    go.textContent = task.go;
    const tabs = choices(
      "Task",
      Object.entries(TASKS).map(([id, { name }]) => [id, name]),
      state.task,
      (id) => {
        state.task = id;
        if (id !== "depixelate") files = files.slice(0, 1);
        changed();
        build();
      },
      { quiet: true, className: "tabs" },
    );
    const parts = { upscale: enlarging, restore: filling, depixelate: fusing }[state.task];
    panel.replaceChildren(
      tabs,
      dropZone(task),
      ...parts(own, most).filter(Boolean),
      make("div", { className: "actions sticky" }, go, stop),
      wrong,
    );
  }

  const picker = (own) =>
    own &&
    modelPicker(able(), own, (name) => {
      state.model = name;
      changed();
      build();
    });
  const nobody = () => make("p", { className: "error" }, "None of the models given to s2id studio does this.");

  const enlarging = (own) =>
    own
      ? [
          picker(own),
          times(),
          own.invents && answers("One for each: what the picture may have been."),
          ...conditions(own, state, changed),
        ]
      : [nobody()];

  /** The seeds of the answers. */
  function answers(help) {
    const seeds = make("input", { type: "text", value: state.seeds, spellcheck: false, autocomplete: "off" });
    seeds.addEventListener("change", () => {
      state.seeds = seeds.value.trim();
      changed();
    });
    return row("Answers, by seed", seeds, help);
  }

  /** How many times larger a picture becomes; what is too large is refused before it is sent. */
  function times() {
    const most = limits.result_pixels,
      line = number("Times larger", "scale", { min: 1, max: 64, help: " " });
    const [input, note] = ["input", "small"].map((tag) => line.querySelector(tag));
    const tell = () => {
      const [width, height] = [picture?.width, picture?.height].map((side) => Math.round(side * input.valueAsNumber));
      input.setCustomValidity(width * height > most ? `At most ${most.toLocaleString("en")} pixels in all.` : "");
      note.textContent = width ? `to ${width}×${height} pixels` : "";
    };
    input.addEventListener("input", tell);
    tell();
    return line;
  }

  const filling = (own, most) => {
    if (!own) return [nobody()];
    return [
      brush?.element,
      picker(own),
      ...conditions(own, state, changed),
      answers("One answer for each; two more pictures show their mean and where they differ."),
      number("Long side", "size", {
        min: 1,
        max: most,
        step: 1,
        placeholder: "as the picture",
        help: "of the answers, in pixels",
      }),
      number("Noise", "noise", {
        min: 0,
        max: 100,
        help: "standard deviation of the noise in the picture, where black is -1 and white 1",
      }),
      folded("Sampling", samplingControls(own.restoring, state.sampling, changed)),
    ];
  };

  const fusing = (own, most) => [
    number("Long side", "long", { min: 1, max: most, step: 1, help: "of the sharp picture, in pixels" }),
    own &&
      choices(
        "Knowledge of what it shows",
        [
          [false, "None: frames alone"],
          [true, "A model's"],
        ],
        state.prior,
        (value) => {
          state.prior = value;
          changed();
          build();
        },
      ),
    state.prior && picker(own),
    ...(state.prior && own ? conditions(own, state, changed) : []),
  ];

  function dropZone({ empty, accept }) {
    const input = make("input", {
      type: "file",
      accept,
      multiple: state.task === "depixelate",
      className: "hidden",
      "aria-label": empty,
    });
    input.addEventListener("change", () => take([...input.files]));
    const shown = files.slice(0, 8).map((file) => make("img", { src: addressOf(file), alt: file.name }));
    const words = files.length
      ? files.length > 1
        ? count(files.length, "file")
        : files[0].name
      : `${empty}, or click to choose`;
    const bare = state.task === "restore" && files.length > 0; // the picture is shown below, to paint on
    return make(
      "label",
      { className: `drop ${files.length ? "full" : ""}` },
      input,
      bare ? [] : shown,
      make("span", {}, words),
    );
  }

  /** Takes files that were dropped, pasted, chosen, or come from a picture that was looked at. */
  async function take(given) {
    const images = given.filter(({ type, name }) => type.startsWith("image/") || /\.(npz|gif|a?png|webp)$/i.test(name));
    const most = limits.upload_bytes,
      large = images.find(({ size }) => size > most);
    wrong.textContent = !images.length
      ? "That is no picture."
      : large
        ? `${large.name} has more than ${Math.floor(most / 2 ** 20)} MB.`
        : "";
    if (wrong.textContent) return;
    files = state.task === "depixelate" ? images : images.slice(0, 1);
    picture = await createImageBitmap(files[0]).catch(() => null);
    brush = picture && new Brush(picture);
    if (picture) state.scale = Math.max(1, Math.min(state.scale, largest(picture, limits.result_pixels)));
    build();
  }

  async function start() {
    if (!panel.reportValidity()) return;
    const own = model(),
      { seeds, wrong: why } = parseSeeds(state.seeds, limits.pictures);
    wrong.textContent = !files.length
      ? `${TASKS[state.task].empty} first.`
      : state.task === "restore" || (state.task === "upscale" && own?.invents)
        ? (why ?? "")
        : "";
    if (wrong.textContent || (!own && state.task !== "depixelate")) return;
    const form = new FormData(),
      put = (values) => Object.entries(values).forEach(([name, value]) => form.append(name, value));
    let mask = null;
    const wants = own ? flat(asked(own, state)) : {};
    if (state.task === "upscale") {
      put({ picture: files[0], model: own.name, scale: state.scale, ...wants });
      if (own.invents) put({ seeds: state.seeds });
    }
    if (state.task === "restore") {
      put({ picture: files[0], model: own.name, noise: state.noise, seeds: state.seeds, ...wants });
      put({ sampling: JSON.stringify(settingsFor(own.restoring, state.sampling)) });
      if (state.size) put({ size: state.size });
      if (brush && !brush.empty) mask = await brush.file();
      if (mask) form.append("mask", mask, "mask.png");
    }
    if (state.task === "depixelate") {
      for (const file of files) form.append("files", file);
      put({ size: state.long, ...(state.prior && own ? { model: own.name, ...wants } : {}) });
    }
    const shown = { restore: brush?.canvas, depixelate: picture }[state.task];
    const outcome = new Outcome(
      state.task,
      { file: files[0], bitmap: picture, shown, mask },
      { model: own, seeds: seeds ?? [], look },
    );
    const job = new Job(
      `${TASKS[state.task].name}: ${files.length > 1 ? count(files.length, "frame") : files[0].name}`,
      outcome.element,
    );
    return jobs.run(
      job,
      [[`/api/${state.task}`, { form }]],
      (_, event) => outcome.hear(event),
      () => outcome.summary(),
    );
  }

  panel.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  const element = make(
    "div",
    { className: "view split" },
    panel,
    make("section", { "aria-label": "Results" }, jobs.element),
  );
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("dragged");
  });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, () => element.classList.remove("dragged"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) settled(start);
  });
  document.addEventListener("paste", (event) => {
    if (element.isConnected && !element.hidden && event.clipboardData.files.length)
      take([...event.clipboardData.files]);
  });
  build();
  /** Goes on with a picture that was looked at. */
  const use = (file) => {
    state.task = "restore";
    changed();
    take([file]);
  };
  return { element, use };
}

/** How many times larger a picture can become, in tenths, to have so many pixels at most. */
const largest = ({ width, height }, pixels) => Math.floor(10 * Math.sqrt(pixels / (width * height))) / 10;

const addresses = new WeakMap();

/** Address of a file's content for pictures on the page. */
function addressOf(file) {
  if (!addresses.has(file)) addresses.set(file, URL.createObjectURL(file));
  return addresses.get(file);
}

/** Values of a form: texts as they are, the rest as JSON. */
const flat = (values) =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  );
