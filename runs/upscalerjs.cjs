// Pictures enlarged by a model of UpscalerJS, on a processor by WebAssembly; runs/upscalers.py talks to it.
//
//   npm install --prefix FOLDER @upscalerjs/esrgan-medium @upscalerjs/esrgan-thick \
//       @tensorflow/tfjs@4.11.0 @tensorflow/tfjs-backend-wasm@4.11.0
//   node runs/upscalerjs.cjs FOLDER esrgan-medium 4
//
// In: pictures, each as height and width (32 bits, little-endian) and RGB bytes. Out: the same of each result.
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");

const [folder, name, scale] = process.argv.slice(2);
const from = createRequire(path.resolve(folder, "package.json"));
const tf = from("@tensorflow/tfjs");
const wasm = from("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(path.dirname(from.resolve("@tensorflow/tfjs-backend-wasm")) + path.sep);

/** A model of a package, and the ranges of its values. */
async function load() {
  const definition = from(`@upscalerjs/${name}/${scale}x`);
  definition.setup?.(tf);
  const file = path.join(folder, "node_modules/@upscalerjs", name, definition._internals.path);
  const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(file));
  const parts = weightsManifest.flatMap((group) => group.paths);
  const bytes = Buffer.concat(parts.map((part) => fs.readFileSync(path.join(path.dirname(file), part))));
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const model = await tf.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
  return { model, white: definition.inputRange[1], found: definition.outputRange[1] };
}

/** A picture in the form described above, enlarged. */
async function enlarged({ model, white, found }, height, width, pixels) {
  const result = tf.tidy(() => {
    const given = tf.tensor(Float32Array.from(pixels), [1, height, width, 3]).mul(white / 255);
    return model.predict(given).mul(255 / found).clipByValue(0, 255).round();
  });
  const head = Buffer.alloc(8);
  head.writeUInt32LE(result.shape[1], 0);
  head.writeUInt32LE(result.shape[2], 4);
  const values = await result.data();
  result.dispose();
  return Buffer.concat([head, Buffer.from(Uint8Array.from(values))]);
}

async function main() {
  await tf.setBackend("wasm");
  const loaded = await load();
  let waiting = Buffer.alloc(0);
  for await (const part of process.stdin) {
    waiting = Buffer.concat([waiting, part]);
    while (waiting.length >= 8) {
      const [height, width] = [waiting.readUInt32LE(0), waiting.readUInt32LE(4)];
      const end = 8 + 3 * height * width;
      if (waiting.length < end) break;
      process.stdout.write(await enlarged(loaded, height, width, waiting.subarray(8, end)));
      waiting = waiting.subarray(end);
    }
  }
}

main();
