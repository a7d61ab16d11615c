// The studio's page: its views, what the address says, and whether the server is well.

import { ask, enter } from "./api.js";
import { composeView } from "./compose.js";
import { make, say } from "./dom.js";
import { pictureView } from "./from-picture.js";
import { lookAt } from "./look.js";
import { show, start } from "./state.js";
import { watchView } from "./watch.js";

const NAMES = { compose: "Compose", picture: "From a picture", watch: "Watch" };
const main = document.getElementById("main"),
  nav = document.querySelector("nav"),
  health = document.getElementById("health");

/** Gives a token in the address ("#token=...") to the server for a cookie, and takes it out of the address. */
async function token() {
  const [, given] = location.hash.match(/^#token=([^&?]+)/) ?? [];
  if (!given) return;
  history.replaceState(null, "", location.pathname);
  await enter(decodeURIComponent(given));
}

/** Says how busy the server is, every few seconds while the page is looked at. */
async function watchHealth() {
  if (!document.hidden) {
    try {
      const { version, queue } = await ask("/health");
      const { waiting = 0, running = 0 } = queue ?? {},
        busy = waiting + Number(running);
      health.textContent = busy ? `${busy} at work` : version ? `version ${version}` : "";
      health.classList.remove("error");
    } catch {
      health.textContent = "no answer from the server";
      health.classList.add("error");
    }
  }
  setTimeout(watchHealth, 5000);
}

async function begin() {
  await token();
  const [models, { limits }] = await Promise.all([ask("/api/models"), ask("/health")]);
  const wanted = start(),
    views = {};
  const look = (entries, at) =>
    lookAt(entries, at, {
      limits,
      use: (file) => {
        go("picture");
        views.picture.use(file);
      },
    });
  Object.assign(views, {
    compose: composeView({ models, limits, look }),
    picture: pictureView({ models, limits, look }),
    watch: watchView(),
  });
  const links = Object.fromEntries(
    Object.entries(NAMES).map(([name, words]) => {
      return [
        name,
        make(
          "a",
          {
            href: `#${name}`,
            on: {
              click: (event) => {
                event.preventDefault();
                go(name);
              },
            },
          },
          words,
        ),
      ];
    }),
  );
  nav.replaceChildren(...Object.values(links));
  main.replaceChildren(...Object.values(views).map(({ element }) => element));

  function go(name) {
    for (const [own, { element, left }] of Object.entries(views)) {
      if (!element.hidden && own !== name) left?.();
      element.hidden = own !== name;
      if (own === name) links[own].setAttribute("aria-current", "page");
      else links[own].removeAttribute("aria-current");
    }
    document.title = `${NAMES[name]} · S2ID studio`;
    show(name);
    views[name].shown?.();
  }

  go(wanted in NAMES ? wanted : "compose");
  // an address that was changed by hand, or a link that was followed: settings are read anew
  addEventListener("hashchange", () => location.reload());
  watchHealth();
}

begin().catch((error) => {
  main.replaceChildren(make("p", { role: "alert", className: "error" }, error.message));
  say(error.message);
});
