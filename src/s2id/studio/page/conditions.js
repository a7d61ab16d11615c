// What a model's card knows, as controls: classes, styles, attributes, numbers and words.

import { button, choices, clamp, fresh, make, row } from "./dom.js";

const SHEET = [
  ["", "A class per seed"],
  ["none", "No class"],
]; // the choices before the classes themselves
const MANY = 24; // so many choices get a field to search in

/** What a picture shows, as settings: what `conditions` changes and `asked` reads. */
export const NOTHING = { label: "", style: "", attributes: {}, numbers: {}, words: [] };

/**
 * Controls of all that the model knows; each changes `state` in place and calls `changed`.
 * A sheet may show a class per seed, or none; one picture has a class, or any.
 */
export function conditions(model, state, changed, { sheet = false } = {}) {
  const { classes, styles, attributes, numbers, words } = model.conditions;
  const put = (name) => (value) => {
    state[name] = value;
    changed();
  };
  return [
    classes?.length &&
      searched("Class", [...(sheet ? SHEET : [["", "Any"]]), ...classes.map((c) => [c, c])], state.label, put("label")),
    styles?.length && searched("Style", [["", "Any"], ...styles.map((s) => [s, s])], state.style, put("style")),
    words?.length && wordPicker(words, state.words, put("words")),
    attributes?.length && threeStates(attributes, state.attributes, put("attributes")),
    numbers?.length && sliders(numbers, state.numbers, put("numbers")),
  ].filter(Boolean);
}

/** The part of a request that says what the pictures show; names that this model lacks are left out. */
export function asked(model, state) {
  const { classes, styles, attributes, numbers, words } = model.conditions;
  const of = (values, names) => Object.fromEntries(Object.entries(values).filter(([name]) => names?.includes(name)));
  const request = {
    attributes: of(state.attributes, attributes),
    numbers: of(
      state.numbers,
      numbers?.map(({ name }) => name),
    ),
    words: state.words.filter((word) => words?.includes(word)).join(" "),
    label: state.label === "none" || classes?.includes(state.label) ? state.label : "",
    style: styles?.includes(state.style) ? state.style : "",
  };
  return Object.fromEntries(Object.entries(request).filter(([, value]) => Object.keys(value).length > 0));
}

/** The same in words, for a heading. */
export function inWords(model, state) {
  const { label, style, words, attributes = {}, numbers = {} } = asked(model, state);
  const own = label === "none" ? "no class" : label && `class ${label}`;
  const signs = Object.entries(attributes).map(([name, has]) => `${has ? "" : "no "}${name}`);
  const values = Object.entries(numbers).map(([name, value]) => `${name} ${value}`);
  return [own, style, words, ...signs, ...values].filter(Boolean).join(", ");
}

/** A group of chips; if they are many, with a field that leaves those that hold its text. */
function searched(legend, options, value, change) {
  const group = choices(legend, options, options.some(([own]) => own === value) ? value : options[0][0], change);
  return options.length > MANY ? withSearch(group, legend, ".chip") : group;
}

function withSearch(group, legend, selector) {
  const find = make("input", { type: "search", placeholder: "Search", "aria-label": `Search: ${legend}` });
  find.addEventListener("input", () => {
    for (const one of group.querySelectorAll(selector)) {
      one.hidden = !one.textContent.toLowerCase().includes(find.value.toLowerCase());
    }
  });
  group.querySelector("legend").after(find);
  group.classList.add("many");
  return group;
}

/** Attributes, each of which may be asked for, kept away, or left open. */
function threeStates(names, values, change) {
  const own = { ...values };
  const one = (name) => {
    const set = (value) => {
      if (value === null) delete own[name];
      else own[name] = value;
      change({ ...own });
    };
    const options = [
      [null, "any"],
      [true, "with"],
      [false, "without"],
    ];
    return choices(name, options, own[name] ?? null, set, { className: "three" });
  };
  const group = make("fieldset", { className: "choices" }, make("legend", {}, "Attributes"), names.map(one));
  return names.length > MANY / 2 ? withSearch(group, "Attributes", ".three") : group;
}

/** Numbers, each open until it is moved. */
function sliders(numbers, values, change) {
  const own = { ...values };
  const one = ({ name, least, most }) => {
    const step = Number(((most - least) / 100).toPrecision(1)) || "any";
    const start = clamp(own[name] ?? (least + most) / 2, least, most);
    const said = make("output", {}, name in own ? `${own[name]}` : "any");
    const range = make("input", { type: "range", min: least, max: most, step, value: start });
    const free = button("any", () => set(undefined), { title: `Leave ${name} open` });
    const set = (value) => {
      if (value === undefined) delete own[name];
      else own[name] = value;
      said.textContent = value ?? "any";
      range.classList.toggle("open", value === undefined);
      change({ ...own });
    };
    range.classList.toggle("open", !(name in own));
    range.addEventListener("input", () => set(range.valueAsNumber));
    range.id = fresh("number");
    const label = make("label", { htmlFor: range.id }, name);
    return make("div", { className: "row" }, label, make("span", { className: "slider" }, range, said, free));
  };
  return make("fieldset", { className: "choices" }, make("legend", {}, "Numbers"), numbers.map(one));
}

/** Words of captions: an input that suggests, and a chip for each word taken. */
function wordPicker(words, taken, change) {
  const own = [...taken].filter((word) => words.includes(word)),
    id = fresh("words");
  const list = make(
    "datalist",
    { id },
    words.slice(0, 2000).map((word) => make("option", { value: word })),
  );
  const input = make("input", {
    type: "text",
    list: id,
    placeholder: "red heart",
    autocomplete: "off",
    spellcheck: false,
  });
  const chips = make("div", { className: "chips", role: "list", "aria-label": "Words asked for" });
  const wrong = make("small", { role: "alert" });
  const show = () => {
    chips.replaceChildren(
      ...own.map((word) => {
        const less = () => {
          own.splice(own.indexOf(word), 1);
          show();
          change([...own]);
          input.focus();
        };
        const name = `Leave out ${word}`;
        return make(
          "span",
          { role: "listitem" },
          button(`${word} ×`, less, { className: "chip on", "aria-label": name }),
        );
      }),
    );
  };
  const add = () => {
    const said = input.value
      .toLowerCase()
      .split(/[\s,]+/)
      .filter(Boolean);
    const unknown = said.filter((word) => !words.includes(word));
    wrong.textContent = unknown.length ? `The model does not know ${unknown.join(", ")}.` : "";
    own.push(...said.filter((word) => words.includes(word) && !own.includes(word)));
    input.value = unknown.join(" ");
    show();
    change([...own]);
  };
  input.addEventListener("change", add);
  show();
  const often = `Often in its captions: ${words.slice(0, 6).join(", ")}.`;
  return make(
    "fieldset",
    { className: "choices" },
    make("legend", {}, "Words"),
    row("What it shows", input, often),
    list,
    chips,
    wrong,
  );
}
