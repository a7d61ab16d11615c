// Elements, made by code alone: text becomes text nodes, so nothing that a server or a file says becomes HTML.

let made = 0;

/**
 * An element. `settings` are properties where the element has them, else attributes; `on` holds listeners, `data` and
 * `style` are merged; `null` and `false` children are left out.
 */
export function make(tag, settings = {}, ...children) {
  const { on = {}, data = {}, style = {}, ...rest } = settings;
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(rest)) {
    if (value === undefined || value === null) continue;
    if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value);
  }
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of an SVG drawing. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A name that no other element of the page has. */
export const fresh = (prefix) => `${prefix}-${++made}`;

/** A button with words on it. */
export const button = (words, click, settings = {}) =>
  make("button", { type: "button", on: { click }, ...settings }, words);

/** A labelled control: the label in front, the control behind, and what explains it below. */
export function row(label, control, help = "") {
  const id = (control.id ||= fresh("control"));
  const note = help && make("small", { id: `${id}-help` }, help);
  if (note) control.setAttribute("aria-describedby", note.id);
  return make("div", { className: "row" }, make("label", { htmlFor: id }, label), control, note || null);
}

/** A group of choices, of which one is taken: radio buttons that look like chips. */
export function choices(legend, options, value, change, settings = {}) {
  const name = fresh("choice");
  const chip = ([own, words]) => {
    const input = make("input", { type: "radio", name, value: String(own), checked: own === value });
    input.addEventListener("change", () => change(own));
    return make("label", { className: "chip" }, input, make("span", {}, words));
  };
  return make(
    "fieldset",
    { className: `choices ${settings.className ?? ""}` },
    make("legend", { className: settings.quiet ? "hidden" : "" }, legend),
    make("div", { className: "chips" }, options.map(chip)),
  );
}

/** Does something once the control that is being typed in has told of its change. */
export function settled(what) {
  const active = document.activeElement;
  active.blur();
  active.focus();
  what();
}

/** A part that is folded away. */
export function folded(words, ...children) {
  return make("details", { "aria-label": words }, make("summary", {}, words), ...children);
}

/** Says something to those who hear the page. */
export function say(sentence) {
  document.getElementById("said").textContent = sentence;
}

/** Gives the browser a file to save. */
export function saveAs(name, href) {
  make("a", { href, download: name }).click();
}

/** A button that copies a text, and says so. */
export function copier(words, text) {
  const self = button(words, async () => {
    const said = (await copied(text)) ? "Copied" : "Press Ctrl+C";
    self.textContent = said;
    say(said);
    setTimeout(() => (self.textContent = words), 1500);
  });
  return self;
}

/** Whether a text is in the clipboard now; where the browser allows none (no HTTPS), it is shown, selected. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const shown = make("textarea", { value: text, readOnly: true, rows: 6, "aria-label": "Text to copy" });
    const dialog = make(
      "dialog",
      { className: "small" },
      shown,
      button("Close", () => dialog.close()),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    shown.select();
    return false;
  }
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** "1 picture", "2 pictures". */
export const count = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
