// Composing: what to draw and how, and the sheet of pictures that comes of it.

import { NOTHING, asked, conditions, inWords } from "./conditions.js";
import { button, choices, count, folded, make, row, settled } from "./dom.js";
import { Job, Jobs } from "./job.js";
import { samplingControls, settingsFor, settingsInWords } from "./sampling.js";
import { Sheet, parseSeeds } from "./sheet.js";
import { keep, settingsOf } from "./state.js";

const START = { model: "", ...NOTHING, seeds: "0-11", sampling: {}, second: {}, two: false };

/** The view; `look` opens an entry of a list in the player. */
export function composeView({ models, limits, look }) {
  const able = models.filter((model) => model.can.compose);
  const state = structuredClone(settingsOf("compose", START));
  const panel = make("form", { className: "panel", "aria-label": "What to draw" });
  const most = limits.pictures;
  const model = () => able.find(({ name }) => name === state.model) ?? able[0];
  const changed = () => keep("compose", state, START);

  const wrong = make("p", { role: "alert", className: "error" });
  const go = make("button", { type: "submit", className: "main", title: "Ctrl + Enter" }, "Draw");
  const stop = button("Cancel", null);
  const jobs = new Jobs(
    "Choose what to draw, then press Draw. Every picture is a function: click one to zoom into it.",
    stop,
  );

  /** Builds the panel anew, as after the choice of another model. */
  function build() {
    if (!able.length) {
      panel.replaceChildren(make("p", {}, "None of the models given to s2id studio composes pictures."));
      return;
    }
    const put = (name) => (value) => {
      state[name] = value;
      changed();
    };
    panel.replaceChildren(
      modelPicker(able, model(), (name) => {
        state.model = name;
        changed();
        build();
        panel.querySelector("select")?.focus();
      }),
      ...conditions(model(), state, changed, { sheet: true }),
      seedPicker(state, most, changed),
      samplingPart(model(), state, changed, build),
      make("div", { className: "actions sticky" }, go, stop),
      wrong,
    );
  }

  function draw() {
    const { seeds, wrong: why } = parseSeeds(state.seeds, most),
      own = model();
    wrong.textContent = why ?? "";
    if (why || !own) return;
    const samplings = state.two ? [state.sampling, state.second] : [state.sampling];
    const sides = state.two ? ["A", "B"] : [""];
    const sheet = new Sheet({ seeds, size: own.size, sides, open: look });
    const words = samplings.map((one) => settingsInWords(own.sampling, one));
    const said = state.two ? words.map((one, i) => `${sides[i]}: ${one || "default settings"}`) : words;
    const job = new Job(
      [own.name, inWords(own, state), `seeds ${state.seeds}`, ...said].filter(Boolean).join(" · "),
      sheet.element,
    );
    const base = { model: own.name, seeds: state.seeds, ...asked(own, state) };
    const requests = samplings.map((one) => {
      return ["/api/compose", { json: { ...base, sampling: settingsFor(own.sampling, one) } }];
    });
    const hear = (side, event) => {
      if (event.kind === "preview") sheet.preview(side, event.index, event.src);
      if (event.kind === "field") sheet.field(side, { ...event, model: own });
    };
    return jobs.run(job, requests, hear, () => count(sheet.drawn, "picture"), sides).then(() => sheet.end());
  }

  panel.addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  const element = make(
    "div",
    { className: "view split" },
    panel,
    make("section", { "aria-label": "Sheets" }, jobs.element),
  );
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) settled(draw);
  });
  build();
  return { element, draw };
}

/** The choice of a model, and what its card says of it. */
export function modelPicker(models, chosen, change) {
  const select = make(
    "select",
    {},
    models.map(({ name }) => make("option", { value: name, selected: name === chosen.name }, name)),
  );
  select.addEventListener("change", () => change(select.value));
  const [height, width] = chosen.size,
    kinds = { 1: "grey", 2: "grey and alpha", 3: "colour", 4: "colour and alpha" };
  const shows = chosen.kind === "vectors" ? "drawings" : "pictures";
  const facts = row("Model", select, `trained on ${shows} of ${width}×${height} pixels, ${kinds[chosen.channels]}`);
  if (chosen.licence) facts.append(folded("Licence", make("small", {}, chosen.licence)));
  return facts;
}

/** The text of seeds, with buttons for so many of them, the next ones, and others. */
function seedPicker(state, most, changed) {
  const input = make("input", {
    type: "text",
    value: state.seeds,
    inputMode: "numeric",
    spellcheck: false,
    autocomplete: "off",
  });
  const put = (text) => {
    state.seeds = input.value = text;
    changed();
  };
  input.addEventListener("change", () => put(input.value.trim()));
  const first = () => BigInt(input.value.match(/\d+/)?.[0] ?? 0);
  const many = () => BigInt(parseSeeds(input.value, most).seeds?.length ?? 12);
  const from = (start, n) => put(n > 1n ? `${start}-${start + n - 1n}` : `${start}`);
  const sizes = [12, 24, 48].filter((n) => n <= most);
  return make(
    "fieldset",
    { className: "choices" },
    make("legend", { className: "hidden" }, "Which pictures"),
    row("Seeds", input, "7, a range 0-11, or a list 1,5,9"),
    make(
      "div",
      { className: "chips" },
      sizes.map((n) =>
        button(`${n}`, () => from(first(), BigInt(n)), {
          className: "chip",
          title: `${n} seeds`,
          "aria-label": `${n} seeds`,
        }),
      ),
      button("Next", () => from(first() + many(), many()), { className: "chip", title: "The seeds that follow" }),
      button("Others", () => from(BigInt(Math.floor(Math.random() * 1e6)), many()), {
        className: "chip",
        title: "Seeds drawn by chance",
      }),
    ),
  );
}

/** Settings of sampling: once, or twice to compare them on the same seeds. */
function samplingPart(model, state, changed, build) {
  const sides = [["Settings", state.sampling], ...(state.two ? [["Settings B", state.second]] : [])];
  const group = ([name, own], i) => {
    const shown = settingsInWords(model.sampling, own);
    const legend = state.two && !i ? "Settings A" : name;
    const reset = button("Reset all", () => {
      for (const one of Object.keys(own)) delete own[one];
      changed();
      build();
    });
    const controls = samplingControls(model.sampling, own, () => {
      reset.hidden = !Object.keys(settingsFor(model.sampling, own)).length;
      changed();
    });
    reset.hidden = !shown;
    return make("fieldset", { className: "choices" }, make("legend", {}, legend), controls, reset);
  };
  const two = choices(
    "Compare settings",
    [
      [false, "One"],
      [true, "Two, side by side"],
    ],
    state.two,
    (value) => {
      state.two = value;
      changed();
      build();
    },
  );
  return make("div", {}, sides.map(group), two);
}
