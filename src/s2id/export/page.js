
// The page's address says what is seen: "#3/0.5,0.5,2" is picture 3 of a gallery, its middle, twice as large.
const links = [...document.querySelectorAll("li a")], list = document.querySelector("ul");
const title = document.querySelector("h1"), name = title.textContent, nav = document.querySelector("nav");
let large = document.querySelector(".large"), number = 0;

function show(which) {
  if (!list || which === number) return;
  large?.remove();
  number = which;
  list.hidden = number > 0;
  nav.hidden = !number;
  const small = links[number - 1]?.firstChild;
  title.textContent = small?.getAttribute("label") ?? name;
  large = small?.cloneNode();
  if (!large) return;
  large.className = "large";
  large.setAttribute("linked", `${number}/`);
  for (const attribute of ["still", "aria-hidden"]) large.removeAttribute(attribute);
  list.after(large);
  for (const [id, to] of [["before", number - 1], ["after", number + 1]]) {
    document.getElementById(id).hidden = !links[to - 1];
    document.getElementById(id).href = `#${to}`;
  }
}

function follow() {
  const [, which, view] = location.hash.match(/^#(?:(\d+)(?:\/|$))?([\d.e,-]*)$/) ?? [];
  show(links[which - 1] ? Number(which) : 0);
  const [y, x, zoom] = (view ?? "").split(",").map(Number);
  if (large && zoom > 0) large.view = { y, x, zoom };
}

addEventListener("hashchange", follow);
follow();

// On a way, a slider moves from each function to the next, and blends the two between which it stands.
const slider = document.querySelector("input"), button = document.querySelector("button");
let begun = 0; // when playing began at the first function; 0 while it rests

function go(place) {
  slider.value = place;
  large.setAttribute("index", slider.value);
  const stop = [...slider.list.options].find((one) => Math.abs(one.value - slider.value) < 0.01);
  slider.setAttribute("aria-valuetext", stop?.label ?? `${Math.round((100 * slider.value) / slider.max)} % of the way`);
}

function step(now) {
  if (!begun) return;
  const place = ((now - begun) / 400) % (2 * slider.max);
  go(Math.min(place, 2 * slider.max - place)); // there and back
  requestAnimationFrame(step);
}

function play(since) {
  begun = since;
  button.textContent = begun ? "Pause" : "Play";
  requestAnimationFrame(step);
}

if (slider) {
  slider.oninput = () => (play(0), go(slider.value));
  button.onclick = () => play(begun ? 0 : performance.now() - 400 * slider.value);
  go(0);
}
