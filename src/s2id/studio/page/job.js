// One press of a button: its jobs on the server, one after the other, and what is told of them.

import { ask, follow } from "./api.js";
import { copier, count, make, say } from "./dom.js";

/** A card with a heading, a status, a bar of progress, and below them what comes of the jobs. */
export class Job {
  #jobs = [];
  #stopped = false;

  constructor(title, ...body) {
    this.progress = make("progress", { max: 1, value: 0, "aria-label": "Share that is done" });
    this.status = make("span", { className: "status" }, "starting");
    this.tools = make("div", { className: "actions" });
    const header = make("header", {}, make("h2", {}, title), this.status, this.progress, this.tools);
    this.element = make("article", { className: "run", "aria-label": title }, header, ...body);
  }

  async cancel() {
    this.#stopped = true;
    await Promise.all(this.#jobs.map((job) => job.cancel()));
  }

  /**
   * Sends requests and hears their events to the end; whether all of them are done.
   *
   * Args:
   *   requests: path and what `ask` takes, of each.
   *   hear: called with the number of the request and each of its events.
   *   summary: what is said at the end, before the seconds, if anything was counted.
   *   names: of the requests, where there are several.
   */
  async run(requests, hear, summary, names = []) {
    const ends = [];
    try {
      for (const [i, [path, options]] of requests.entries()) {
        if (this.#stopped) break;
        const { job } = await ask(path, { method: "POST", ...options });
        this.#jobs.push(
          follow(job, (event) => {
            this.#hear(event, i, requests.length);
            hear(i, event);
          }),
        );
        ends.push(this.#jobs.at(-1).ended);
      }
      if (this.#stopped) await this.cancel(); // a job that was sent while Cancel was pressed
    } catch (error) {
      this.say(error.message, true);
      await this.cancel();
      return false;
    } finally {
      if (!ends.length) this.progress.remove();
    }
    const last = await Promise.all(ends);
    this.progress.remove();
    const failed = last.find(({ kind }) => kind === "failed");
    if (failed) this.say(failed.error, true);
    else if (this.#stopped || last.some(({ kind }) => kind === "cancelled"))
      this.say(["cancelled", summary()].filter(Boolean).join("; "));
    else this.#done(last, summary(), names);
    return !failed && !this.#stopped;
  }

  #hear(event, i, n) {
    if (event.kind === "queued") {
      this.status.textContent = event.position > 0 ? `${count(event.position, "job")} before this one` : "at work";
      if (event.position <= 0) this.progress.removeAttribute("value"); // nobody knows yet how far it is
    }
    if (event.kind !== "preview") return;
    this.status.textContent = `step ${event.step} of ${event.steps}`;
    this.progress.value = Math.max(this.progress.value, (i + (0.95 * event.step) / event.steps) / n);
  }

  #done(last, summary, names) {
    const seconds = last.reduce((sum, one) => sum + one.seconds, 0),
      notes = last.flatMap(({ notes }) => notes ?? []);
    this.say([`${summary || "done"} in ${seconds.toFixed(1)} s`, ...notes].join("; "));
    for (const [i, { command, python }] of last.entries()) {
      const name = names[i] ? `${names[i]} ` : "";
      if (command) this.tools.append(copier(`Copy ${name}as command`, command));
      if (python) this.tools.append(copier(`Copy ${name}as Python`, python));
    }
  }

  say(sentence, bad = false) {
    this.status.textContent = sentence;
    this.status.classList.toggle("error", bad);
    say(sentence);
  }
}

/** Cards of jobs, the newest first, and the one that runs, if any. */
export class Jobs {
  constructor(empty, stop) {
    this.element = make("div", { className: "results" }, make("p", { className: "empty" }, empty));
    this.stop = stop; // the button that cancels
    stop.addEventListener("click", () => this.running?.cancel());
    stop.hidden = true;
  }

  /** Shows a job and runs it, after an end of the one before. */
  async run(job, ...how) {
    await this.running?.cancel();
    this.running = job;
    this.element.querySelector(".empty")?.remove();
    this.element.prepend(job.element);
    while (this.element.children.length > 4) this.element.lastChild.remove();
    this.stop.hidden = false;
    if (job.element.getBoundingClientRect().top > innerHeight - 150) job.element.scrollIntoView(); // on phones
    await job.run(...how);
    if (this.running !== job) return;
    this.running = null;
    this.stop.hidden = true;
  }
}
