// How long the player draws on typed arrays, without a browser: node benchmarks/arrays.mjs SIDE a.safetensors ...
//
// Processor milliseconds of seven pictures of SIDE x SIDE pixels, of which the first contain compiling.
import { readFileSync } from "node:fs";

let answer; // of the player's worker, which believes that it runs in a browser
globalThis.postMessage = (message) => (answer = message);
await import("../src/s2id/export/s2id-player.js");

function ask(message) {
  globalThis.onmessage({ data: { job: 1, ...message } });
  if (answer.error) throw new Error(answer.error);
  return answer.answer;
}

const [side, ...files] = process.argv.slice(2), n = Number(side);
const grid = { size: [n, n], middle: [0, 0], cell: [1 / n, 1 / n] }, part = [[0, n], [0, n]];
for (const file of files) {
  const { id } = ask({ task: "open", bytes: Uint8Array.from(readFileSync(file)).buffer }), times = [];
  for (let i = 0; i < 7; i++) {
    const begun = process.cpuUsage();
    ask({ task: "draw", id, index: 0, grid, part, engine: "arrays" });
    times.push(Math.round(process.cpuUsage(begun).user / 1000));
  }
  console.log(file, ...times);
}
