// Watching runs: what was measured while they train, laid over one another, and the samples that they drew.

import { ask } from "./api.js";
import { button, make, row } from "./dom.js";
import { Plot, short } from "./plot.js";
import { keep, settingsOf } from "./state.js";

const START = { runs: [] };
const COLOURS = 6; // of the style sheet
const POLL_MS = 5000;

const PLOTS = [
  ["loss", "Loss", { log: true, smooth: true }],
  ["lr", "Learning rate", {}],
  ["images_per_second", "Images per second", {}],
];

/** The view; it listens while it is shown. */
export function watchView() {
  const state = structuredClone(settingsOf("watch", START));
  const held = new Map(); // runs by name: {colour, rows, source, samples}
  const list = make("ul", { className: "runs", "aria-label": "Runs" });
  const wrong = make("p", { role: "alert", className: "error" });
  const plots = PLOTS.map(([key, title, how]) => [key, new Plot(title, how)]);
  const slider = make("input", {
    type: "range",
    min: 0,
    max: 0,
    step: 1,
    value: 0,
    "aria-label": "Samples after so many images",
  });
  const after = make("output", {});
  const sheets = make("div", { className: "samples" });
  const samples = make(
    "section",
    { className: "taken", hidden: true, "aria-labelledby": "samples" },
    make("h3", { id: "samples" }, "Samples"),
    make("div", { className: "slider" }, slider, after),
    sheets,
  );
  const element = make(
    "div",
    { className: "view split" },
    make("div", { className: "panel" }, make("h2", {}, "Runs"), list, wrong),
    make(
      "section",
      { "aria-label": "Measurements", className: "results" },
      plots.map(([, plot]) => plot.element),
      samples,
    ),
  );
  let timer = 0,
    moments = [];

  const chosen = () => [...held].filter(([name]) => state.runs.includes(name));

  async function refresh() {
    clearTimeout(timer);
    if (!element.isConnected || element.hidden) return;
    try {
      const runs = await ask("/api/runs");
      wrong.textContent = runs.length
        ? ""
        : "No runs are watched. Start the studio with --runs FOLDER, which holds runs of s2id train.";
      for (const { name } of runs)
        if (!held.has(name)) held.set(name, { colour: held.size % COLOURS, rows: [], samples: [] });
      const own = state.runs.filter((name) => held.has(name));
      state.runs = own.length
        ? own
        : runs
            .filter(({ finished }) => !finished)
            .concat(runs)
            .slice(0, 1)
            .map(({ name }) => name);
      list.replaceChildren(...runs.map(line));
      await Promise.all(
        chosen().map(([name, run]) =>
          fill(
            name,
            run,
            runs.find((one) => one.name === name),
          ),
        ),
      );
      redraw();
      redrawSamples();
    } catch (error) {
      wrong.textContent = error.message;
    }
    timer = setTimeout(refresh, POLL_MS);
  }

  /** A run of the list: whether it is drawn, how far it is, how fast it goes. */
  function line({ name, images, wanted, images_per_second: speed, finished }) {
    const box = make("input", { type: "checkbox", checked: state.runs.includes(name) });
    box.addEventListener("change", () => {
      state.runs = box.checked ? [...state.runs, name] : state.runs.filter((one) => one !== name);
      if (!box.checked) close(held.get(name));
      keep("watch", state, START);
      refresh();
    });
    const share = wanted ? make("progress", { max: wanted, value: images, "aria-label": `${name}: share done` }) : null;
    const told = [
      `${short(images)}${wanted ? ` of ${short(wanted)}` : ""} images`,
      finished ? "finished" : speed ? `${short(speed)} images/s` : "",
    ];
    return make(
      "li",
      {},
      make(
        "label",
        { className: "check" },
        box,
        make("span", { className: `swatch run-${held.get(name).colour}`, "aria-hidden": "true" }),
        name,
      ),
      share,
      make("small", {}, told.filter(Boolean).join(", ")),
    );
  }

  /** Rows and samples of a run that are not here yet; after that, new rows come by themselves. */
  async function fill(name, run, { finished } = {}) {
    const path = `/api/runs/${encodeURIComponent(name)}`;
    const since = () => (run.rows.length ? `?after=${run.rows.at(-1).row}` : "");
    run.samples = await ask(`${path}/samples`);
    if (run.source) return;
    add(run, await ask(`${path}/metrics${since()}`));
    if (finished || run.source) return;
    run.source = new EventSource(`${path}/events${since()}`);
    run.source.addEventListener("row", (event) => {
      add(run, [JSON.parse(event.data)]);
      redraw();
    });
    run.source.addEventListener("restart", () => (run.rows = []));
  }

  /** Adds rows; those that a run makes again, after going on from a checkpoint, replace what they were. */
  function add(run, rows) {
    for (const row of rows) {
      while (run.rows.length && run.rows.at(-1).images_seen >= row.images_seen) run.rows.pop();
      run.rows.push(row);
    }
  }

  let drawing = 0;
  function redraw() {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(() => {
      for (const [key, plot] of plots) {
        plot.show(
          chosen().map(([name, { colour, rows }]) => ({
            name,
            colour,
            points: rows.map((row) => [row.images_seen, row[key]]),
          })),
        );
      }
    });
  }

  /** One slider over all moments at which any run drew samples; each run shows its last ones until then. */
  function redrawSamples() {
    const all = [...new Set(chosen().flatMap(([, run]) => run.samples.map(({ images }) => images)))].sort(
      (a, b) => a - b,
    );
    const newest = !moments.length || slider.valueAsNumber === moments.length - 1;
    moments = all;
    slider.max = Math.max(0, all.length - 1);
    if (newest) slider.value = slider.max;
    samples.hidden = !all.length;
    showSamples();
  }

  function showSamples() {
    const until = moments[slider.valueAsNumber];
    if (until === undefined) return;
    after.textContent = `after ${until.toLocaleString("en")} images`;
    const shown = chosen().map(([name, run]) => [name, run.samples.filter(({ images }) => images <= until).at(-1)]);
    sheets.replaceChildren(
      ...shown
        .filter(([, one]) => one)
        .map(([name, { number, images }]) => {
          const src = `/api/runs/${encodeURIComponent(name)}/samples/${number}.png`;
          const alt = `Samples of ${name} after ${images} images`;
          return make(
            "figure",
            {},
            make("a", { href: src, target: "_blank" }, make("img", { src, alt })),
            make("figcaption", {}, `${name}, ${short(images)} images`),
          );
        }),
    );
  }

  function close(run) {
    run?.source?.close();
    if (run) run.source = null;
  }

  slider.addEventListener("input", showSamples);
  return { element, shown: refresh, left: () => [...held.values()].forEach(close) };
}
