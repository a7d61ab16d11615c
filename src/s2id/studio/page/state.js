// What the reader has set: kept by the browser, and in the page's address, so that a link shows the same.

const KEY = "s2id-studio";
const views = {}; // settings by the name of the view: plain objects of strings, numbers, lists

const read = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // private windows, or something else's text
  }
};

/** View and settings of an address "#compose?model=mnist&seeds=0-11"; values are JSON where they can be. */
function parse(hash) {
  const [, view, query = ""] = hash.match(/^#([a-z]+)(?:\?(.*))?$/s) ?? [];
  const settings = {};
  for (const [name, text] of new URLSearchParams(query)) {
    try {
      settings[name] = JSON.parse(text);
    } catch {
      settings[name] = text;
    }
  }
  return { view, settings };
}

/** A text that `parse` reads back as the value: as it is where that is unambiguous. */
function written(value) {
  if (typeof value !== "string") return JSON.stringify(value);
  try {
    JSON.parse(value);
    return JSON.stringify(value);
  } catch {
    return value;
  }
}

/** The view that the address names, or else the one that was last seen. */
export function start() {
  Object.assign(views, read().views);
  const { view, settings } = parse(location.hash);
  if (view && Object.keys(settings).length) views[view] = settings;
  return view ?? read().view;
}

/** Settings of a view; `known` names those that there are, with their types by example. */
export function settingsOf(view, known) {
  const own = views[view] ?? {};
  const fits = (value, like) =>
    typeof value === typeof like &&
    Array.isArray(value) === Array.isArray(like) &&
    (value === null) === (like === null);
  return Object.fromEntries(Object.entries(known).map(([k, like]) => [k, fits(own[k], like) ? own[k] : like]));
}

/** Keeps settings of a view; what is as in `known`, which are the defaults, is left out of the address. */
export function keep(view, settings, known) {
  const own = Object.entries(settings).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(known[name]));
  views[view] = Object.fromEntries(own);
  show(view);
}

/** Lets the address name a view and its settings. */
export function show(view) {
  const query = new URLSearchParams(Object.entries(views[view] ?? {}).map(([name, value]) => [name, written(value)]));
  const link = `#${view}${`${query}` && `?${query}`}`;
  if (link !== location.hash) history.replaceState(null, "", link);
  try {
    localStorage.setItem(KEY, JSON.stringify({ view, views }));
  } catch {} // where nothing may be kept, nothing is
}
