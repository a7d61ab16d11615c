// The server's addresses, and what goes wrong there as a sentence.

import { button, make } from "./dom.js";

/** What went wrong, as a sentence to show. */
export class Refused extends Error {}

/** The JSON that the server answers. Where it wants a token, the reader is asked for it. */
export async function ask(path, { method = "GET", json, form, signal, keepalive } = {}) {
  const headers = json === undefined ? {} : { "Content-Type": "application/json" };
  const body = json === undefined ? form : JSON.stringify(json);
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal, keepalive, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The studio's server does not answer; is s2id studio still running?");
  }
  if (answer.status === 401) {
    await login();
    return ask(path, { method, json, form, signal });
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const wait = Number(answer.headers.get("Retry-After"));
  const again = answer.status === 503 && wait > 0 ? ` Try again in ${wait} s.` : "";
  throw new Refused((said.error ?? `The server answered ${answer.status}.`) + again);
}

let asking = null; // one dialog, however many requests wait for it

/** Asks for the token until the server takes it, which then sets a cookie. */
function login() {
  asking ??= new Promise((resolve) => {
    const given = make("input", { type: "password", required: true, autocomplete: "current-password" });
    const wrong = make("p", { role: "alert", className: "error" });
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", {}, "This studio needs a token"),
      make("p", {}, "The program that started it printed an address that ends in the token."),
      make("label", {}, "Token ", given),
      wrong,
      make("div", { className: "actions" }, button("Enter", null, { type: "submit", className: "main" })),
    );
    const dialog = make("dialog", { className: "small" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!(await enter(given.value))) return (wrong.textContent = "That is not the token.");
      dialog.remove();
      asking = null;
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

/** Whether the server takes a token. */
export async function enter(token) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch("/api/login", { method: "POST", headers, body: JSON.stringify({ token }) });
  return answer.ok;
}

const EVENTS = ["queued", "preview", "field", "picture", "motion", "done", "failed", "cancelled"];

/**
 * A job on the server: `tell` hears its events in order, `ended` resolves with the last one, {kind, ...}.
 * A connection that breaks is taken up again by the browser, which tells the server what it has heard.
 */
export function follow(id, tell) {
  const source = new EventSource(`/api/jobs/${id}/events`);
  const cancel = () => ask(`/api/jobs/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
  addEventListener("pagehide", cancel); // nobody is left to hear of it
  const ended = new Promise((resolve) => {
    const end = (last) => {
      source.close();
      resolve(last);
    };
    for (const kind of EVENTS) {
      source.addEventListener(kind, (event) => {
        const told = { kind, ...JSON.parse(event.data) };
        tell(told);
        if (!["done", "failed", "cancelled"].includes(kind)) return;
        removeEventListener("pagehide", cancel); // not in `end`, which a page that is left calls before
        end(told);
      });
    }
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) end({ kind: "failed", error: "The server let go of this job." });
    });
  });
  return { id, ended, cancel };
}

/** Address of a field as a PNG file; a window is [top, left, bottom, right], as shares of the frame. */
export function fieldImage(id, [height, width], { window = null, fit = null } = {}) {
  const query = new URLSearchParams({ height, width });
  if (window) query.set("window", [window[0], window[1], window[2] - window[0], window[3] - window[1]].join(","));
  if (fit) query.set("fit", fit);
  return `/api/fields/${id}.png?${query}`;
}
