// The way from one picture to another: where it begins, where it ends, and a slider that moves along it.

import { ask, follow } from "./api.js";
import { button, copier, make, row, saveAs, say } from "./dom.js";

const FUNCTIONS = 9; // on the way; between two of them the player blends
const STEP_MS = 400; // from each to the next, while it plays
const FILM = "height=256&width=256";

let begun = null; // the entry at which the next way begins

/**
 * The part of the dialog in which an entry becomes an end of a way.
 *
 * Args:
 *   show: called with words, an element <s2id-field> and what moves it, to show them in place of the picture and all
 *     that is said of it; without them, shows the picture again.
 */
export function wayPart(entry, show) {
  const part = make("section", { className: "take", "aria-labelledby": "way" });
  const heading = make("h3", { id: "way" }, "Way to another picture");
  const begin = button("Begin a way here", () => {
    begun = begun?.id === entry.id ? null : entry;
    choose();
    begin.focus(); // it was taken out and put in again
  });

  /** Shows what can be chosen: to begin here, or to end here what began elsewhere. */
  function choose() {
    const here = begun?.id === entry.id;
    const hint = here
      ? "A way begins here. Look at another picture of this model to end it there."
      : "Between two pictures lie others, which a slider passes.";
    const able = begun && !here && begun.model.name === entry.model.name;
    const end = able && button(`From ${begun.words} to this`, () => compose(begun), { className: "main" });
    begin.setAttribute("aria-pressed", Boolean(here));
    part.replaceChildren(heading, make("small", {}, hint), make("div", { className: "actions" }, begin, end || null));
  }

  /** Has the way composed, which Cancel stops. */
  async function compose(start) {
    const progress = make("progress", { max: FUNCTIONS, value: 0, "aria-label": "Share of the way that is composed" });
    const wrong = make("p", { role: "alert", className: "error" });
    let job = null,
      id = null;
    const stop = button("Cancel", () => job?.cancel());
    part.replaceChildren(heading, make("div", { className: "actions" }, progress, stop), wrong);
    stop.focus();
    try {
      const json = { start: start.id, end: entry.id, frames: FUNCTIONS };
      job = follow((await ask("/api/morph", { method: "POST", json })).job, (event) => {
        if (event.kind === "preview") progress.value = event.step;
        if (event.kind === "field") id = event.id;
      });
      const last = await job.ended;
      if (!part.isConnected) return;
      if (last.kind === "done") return await finished(id, start);
      wrong.textContent = last.error ?? "";
    } catch (error) {
      wrong.textContent = error.message;
    }
    const why = wrong.textContent;
    choose();
    part.append(make("p", { role: "alert", className: "error" }, why));
  }

  /** Shows the way, with what moves along it and what takes it away. */
  async function finished(id, start) {
    const words = `${start.words} to ${entry.words}`;
    const player = make("s2id-field", { src: `/api/fields/${id}.safetensors`, index: "0", label: words });
    const slider = make("input", { type: "range", min: 0, max: FUNCTIONS - 1, step: "any", value: 0 });
    let since = 0; // when it began to play at the first function; 0 while it rests
    const go = (place) => {
      slider.value = place;
      player.setAttribute("index", slider.value);
      slider.setAttribute("aria-valuetext", `${Math.round((100 * slider.value) / (FUNCTIONS - 1))} % of the way`);
    };
    const step = (now) => {
      if (!since || !slider.isConnected) return;
      const place = ((now - since) / STEP_MS) % (2 * (FUNCTIONS - 1));
      go(Math.min(place, 2 * (FUNCTIONS - 1) - place)); // there and back
      requestAnimationFrame(step);
    };
    const playing = (from) => {
      since = from;
      play.textContent = since ? "Pause" : "Play";
      if (since) requestAnimationFrame(step);
    };
    const play = button("Play", () => playing(since ? 0 : performance.now() - STEP_MS * slider.value));
    slider.addEventListener("input", () => {
      playing(0);
      go(slider.value);
    });
    go(0);
    const takes = [
      ["page", "html", ""],
      ["film", "gif", FILM],
    ].map(async ([name, form, query]) => {
      const address = `/api/fields/${id}.${form}?${query}`;
      const { command, python } = await ask(`/api/fields/${id}/recipe?form=${form}&${query}`);
      return make(
        "div",
        { className: "actions" },
        button(`Save ${name}`, () => saveAs(`way.${form}`, address)),
        copier(`Copy ${name} as command`, command),
        copier(`Copy ${name} as Python`, python),
      );
    });
    const files = await Promise.all(takes);
    const along = make("div", { className: "along" }, play, row("Along the way", slider));
    const open = () => {
      show(words, player, along);
      part.replaceChildren(heading, ...files, button("Back to the picture", back));
      slider.focus();
    };
    const back = () => {
      playing(0);
      show();
      choose();
      part.append(button(`Show ${words} again`, open));
    };
    if (!part.isConnected) return;
    open();
    say(`The way from ${words} is composed.`);
  }

  choose();
  return part;
}
