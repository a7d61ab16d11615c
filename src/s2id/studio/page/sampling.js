// Settings of sampling as controls, each with its default marked and a way back to it.

import { button, folded, fresh, make } from "./dom.js";

/**
 * Controls of a model's settings. `state` holds those that differ from their defaults, by name, and is changed.
 *
 * Args:
 *   known: the server's description of each setting: {value, own, kind, least, most, choices, help, common};
 *     `own` is the value that the model puts in place of null, and what is not `common` is folded away.
 */
export function samplingControls(known, state, changed) {
  const names = Object.keys(known).filter((name) => known[name].kind in CONTROLS);
  const common = names.filter((name) => known[name].common);
  const rows = (some) => some.map((name) => settingRow(name, known[name], state, changed));
  const rest = names.filter((name) => !common.includes(name));
  const more = rest.length && folded("More settings", rows(rest));
  if (more) more.open = rest.some((name) => name in state);
  return make("div", { className: "settings" }, rows(common), more || null);
}

/** Settings of `state` that a model has. */
export const settingsFor = (known, state) =>
  Object.fromEntries(Object.entries(state).filter(([name]) => name in known));

/** What differs from the defaults, in words. */
export const settingsInWords = (known, state) =>
  Object.entries(settingsFor(known, state))
    .map(([name, value]) => `${title(name)} ${shown(value)}`)
    .join(", ");

const title = (name) => name.replaceAll("_", " ");
const heading = (name) => name[0].toUpperCase() + title(name).slice(1);

function shown(value) {
  if (Array.isArray(value)) return value.join(" to ");
  return { true: "on", false: "off", null: "auto" }[value] ?? `${value}`;
}

/** A line of the panel: name, what it means, the control, and its default, which is a button once it differs. */
function settingRow(name, { value, own, kind, least, most, choices, help }, state, changed) {
  const id = fresh("setting"),
    usual = value ?? own;
  const { element, read, write } = CONTROLS[kind]({ id, usual, least, most, choices });
  const back = button(`↺ ${shown(usual)}`, () => set(undefined), {
    title: `Back to the default, ${shown(usual)}`,
    "aria-label": `Reset ${title(name)} to ${shown(usual)}`,
  });
  const mark = make("small", { id: `${id}-default` }, "default");
  const line = make("div", { className: "setting" });
  const set = (given) => {
    if (given === undefined || JSON.stringify(given) === JSON.stringify(usual)) delete state[name];
    else state[name] = given;
    refresh();
    changed();
  };
  const refresh = () => {
    write(state[name] ?? usual);
    line.classList.toggle("changed", name in state);
    back.hidden = !(name in state);
    mark.hidden = name in state;
  };
  element.addEventListener("change", () => {
    const wrong = [element, ...element.querySelectorAll("input")].find((one) => one.checkValidity?.() === false);
    if (wrong) wrong.reportValidity();
    else set(read());
  });
  (element.id ? element : element.querySelector("input")).setAttribute("aria-describedby", mark.id);
  const why = help && make("p", { className: "why", id: `${id}-why`, hidden: true }, help.replaceAll("`", ""));
  const asks =
    why &&
    button(
      "?",
      () => {
        why.hidden = !why.hidden;
        asks.setAttribute("aria-expanded", !why.hidden);
      },
      { className: "asks", "aria-label": `What is ${title(name)}?`, "aria-expanded": "false", "aria-controls": why.id },
    );
  line.append(
    make("label", { htmlFor: id }, heading(name)),
    ...(why ? [asks] : []),
    element,
    make("span", { className: "back" }, mark, back),
    ...(why ? [why] : []),
  );
  refresh();
  return line;
}

/** A control for each kind of setting: its element, how its value is read, and how it is written. */
const CONTROLS = {
  int: (one) => number(one, 1),
  float: (one) => number(one, "any"),
  bool({ id }) {
    const element = make("input", { id, type: "checkbox" });
    return { element, read: () => element.checked, write: (value) => (element.checked = Boolean(value)) };
  },
  choice({ id, choices }) {
    const element = make(
      "select",
      { id },
      choices.map((one) => make("option", { value: one }, one)),
    );
    return { element, read: () => element.value, write: (value) => (element.value = value) };
  },
  range({ id, least, most }) {
    const side = (name, own) =>
      make("input", { type: "number", step: "any", min: least, max: most, "aria-label": name, id: own });
    const sides = [side("from", id), side("to", fresh("setting"))];
    const element = make("span", { className: "pair" }, sides);
    const read = () => sides.map((one) => one.valueAsNumber);
    return {
      element,
      read: () => (read().some(Number.isNaN) ? undefined : read()),
      write: (value) => sides.forEach((one, i) => (one.value = value?.[i] ?? "")),
    };
  },
};

function number({ id, usual, least, most }, step) {
  const element = make("input", {
    id,
    type: "number",
    step,
    min: least,
    max: most,
    placeholder: usual === null ? "auto" : "",
  });
  const read = () => (element.value === "" ? undefined : element.valueAsNumber);
  return { element, read, write: (value) => (element.value = value ?? "") };
}
