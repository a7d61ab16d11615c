// Fields of S2ID in a browser: pictures that are functions, drawn at any size, window and zoom.
//
// It defines the element <s2id-field src="seven.safetensors">, and is also the program of the worker that draws for it.
// The arithmetic is that of the Python files named at each part: weights in doubles, the layers in single precision, by
// WebGL2 or on typed arrays. Both give the bytes of `Field.image`, at most one level off.

const FINEST = 3 / 8, COARSEST = 3 / 2; // cells, in samples, that layers can be told: network/enlarger.py
const MARGIN = 2; // samples of canvas around the frame: network/heads.py
const MOST_ZOOM = 1e6, LEAST_ZOOM = 0.5; // of the frame as it fits the element
const FRAME_MS = 25; // longest frame while the picture moves
const TILE_MS = 200; // of a tile of the picture at rest, about
const USUAL_MS = 0.0015; // of a value of the function, until it is measured
const REST_MS = 150; // without motion, until the picture is at rest

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Gives a canvas another size, which clears it. */
function resize(canvas, height, width) {
  if (canvas.height !== height || canvas.width !== width) Object.assign(canvas, { height, width });
}

// ---- The file (sampling/field_file.py)

const TYPES = { F32: 4, F16: 2 };

/** A field from the bytes of its .safetensors file: features, layers and facts. */
function parseField(buffer) {
  const refuse = (why) => new Error(`This is no field file of S2ID (${why}); drop one that field.save wrote.`);
  const length = buffer.byteLength < 8 ? 0 : Number(new DataView(buffer).getBigUint64(0, true));
  if (!length || length > buffer.byteLength - 8) throw refuse("it is no whole .safetensors file");
  const json = (text) => {
    try {
      return JSON.parse(text);
    } catch {} // what is undefined is refused
  };
  const header = json(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  if (!header) throw refuse("it is no .safetensors file");
  const { format, frame: frameText, ...facts } = header.__metadata__ ?? {};
  if (format !== "s2id-field-1") throw refuse(`its format is ${String(format).slice(0, 40)}`);
  const tensor = (name, ...shape) => {
    const { dtype, shape: own, data_offsets: [first, last] = [] } = header[name] ?? {};
    const count = own?.reduce((a, b) => a * b, 1);
    if (!TYPES[dtype] || own.length !== shape.length || shape.some((n, i) => n && n !== own[i])) {
      throw refuse(`its ${name} has another shape or type`);
    }
    if (!(first >= 0 && last - first === count * TYPES[dtype] && 8 + length + last <= buffer.byteLength)) {
      throw refuse(`its ${name} is cut off`);
    }
    const bytes = buffer.slice(8 + length + first, 8 + length + last);
    const values = dtype === "F32" ? new Float32Array(bytes) : fromHalves(new Uint16Array(bytes));
    if (!values.every(Number.isFinite)) throw refuse(`its ${name} holds values that are no numbers`);
    return { shape: own, values };
  };
  const frame = json(frameText);
  if (!(frame?.length === 2 && Math.min(...frame) > 0 && Math.max(...frame) === 1)) throw refuse("it has no frame");
  const { shape: [count, height, width, depth], values } = tensor("features", 0, 0, 0, 0);
  if (!(values.length > 0)) throw refuse("it is empty");
  const last = ["head.out", "head.added"].find((name) => header[`${name}.weight`]);
  const [channels, inner] = last ? tensor(`${last}.weight`, 0, 0).shape : [depth, depth];
  if (depth !== inner + (last === "head.added" ? 2 * channels : 0)) throw refuse("its head does not fit its features");
  if (channels > 4) throw refuse(`it draws ${channels} channels, and pictures have at most 4`);
  const layers = last && layersOf(tensor, channels, inner, last);
  return { frame, facts, count, height, width, depth, values, channels, layers };
}

/**
 * The two layers of `FieldHead` in one list, with zeros up to groups of four: matrices of 4 x 4, column after column,
 * for each group of hidden units and the inputs that `read` lists; then, from `outer`, `bias` and `last` on, weights of
 * each unit, the units' bias, and the channels'. Matrices of zeros are left out: with a guide, half of them. Those of
 * `RelativeHead` have a `cell` too, and after the features the picture's own values, and their ranges.
 */
function layersOf(tensor, channels, depth, name) {
  const { values: out } = tensor(`${name}.weight`, channels, depth), units = 4 * Math.ceil(depth / 4);
  const relative = name === "head.added", four = units + (relative ? 8 : 0);
  const weights = tensor("head.hidden.weight", depth, depth).values;
  const groups = Array.from({ length: units / 4 }, (_, j) => 4 * j);
  const weight = (j, k) => (j < depth && k < depth ? weights[j * depth + k] : 0), each = [0, 1, 2, 3];
  const matrix = (j, k) => each.flatMap((b) => each.map((a) => weight(j + a, k + b)));
  const read = groups.map((j) => groups.filter((k) => matrix(j, k).some(Boolean) || j + k === 0));
  const outer = 16 * read.flat().length, bias = outer + 4 * units, last = bias + units;
  const all = new Float32Array(last + 4), hidden = tensor("head.hidden.bias", depth).values;
  all.set(read.flatMap((inputs, j) => inputs.flatMap((k) => matrix(4 * j, k))));
  for (let k = 0; k < depth; k++) for (let c = 0; c < channels; c++) all[outer + 4 * k + c] = out[c * depth + k];
  all.set(hidden, bias);
  all.set(tensor(`${name}.bias`, channels).values, last);
  const cell = relative && tensor("head.cell.weight", depth, 1).values, per = relative ? 6 : 5;
  const place = (k) => (k < depth ? k : units + 4 * Math.floor((k - depth) / channels) + ((k - depth) % channels));
  return { channels, four, units, per, place, read, all, outer, bias, last, hidden, cell };
}

/** Tells the layers of `RelativeHead` how wide the cells are that they give means of. */
function tell(field, { cell }, factor) {
  const { all, bias, hidden, cell: told } = field.layers ?? {};
  if (!told) return;
  const width = Math.max(...pitchOf(field).map((pitch, i) => cell[i] / pitch)) / factor;
  const log = Math.log2(clamp(width, FINEST, COARSEST));
  all.set(hidden.map((value, j) => value + told[j] * log), bias);
}

/** Numbers from bits of half precision (IEEE 754 binary16). */
function fromHalves(halves) {
  const bits = Uint32Array.from(halves, (half) => ((half & 0x8000) << 16) | ((half & 0x7fff) << 13));
  return new Float32Array(bits.buffer).map((x) => (Math.abs(x) < 2 ** -96 ? x * 2 ** 112 : NaN));
}

/**
 * A function of a field with canvas around it, {values, height, width, four}: `Features.on_canvas`. Between two whole
 * indices lie blends of two functions' features. The outermost ring is the median along the border; the ring inside it
 * repeats the edge.
 */
function onCanvas({ height, width, depth, channels, layers, values }, index) {
  const four = layers?.four ?? 4, [h, w] = [height + 2 * MARGIN, width + 2 * MARGIN];
  const all = height * width * depth, first = Math.floor(index) * all, share = index % 1;
  const own = values.slice(first, first + all);
  if (share) for (let i = 0; i < all; i++) own[i] += share * (values[first + all + i] - own[i]);
  const at = (y, x, k) => own[(y * width + x) * depth + k];
  const around = Array.from({ length: depth }, (_, k) => {
    const border = [];
    for (let x = 0; x < width; x++) border.push(at(0, x, k), at(height - 1, x, k));
    for (let y = 0; y < height; y++) border.push(at(y, 0, k), at(y, width - 1, k));
    return Float32Array.from(border).sort()[(border.length - 1) >> 1]; // of an even number, torch takes the lower
  });
  const canvas = new Float32Array(h * w * four);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const ring = y === 0 || x === 0 || y === h - 1 || x === w - 1;
      const [inY, inX] = [clamp(y - MARGIN, 0, height - 1), clamp(x - MARGIN, 0, width - 1)];
      const here = canvas.subarray((y * w + x) * four, (y * w + x + 1) * four);
      for (let k = 0; k < depth; k++) here[layers ? layers.place(k) : k] = ring ? around[k] : at(inY, inX, k);
      if (!layers) bound(here, channels); // pixels are bounded before means are taken of them
    }
  }
  return { values: canvas, height: h, width: w, four };
}

/** Values of a point within [-1, 1], and colours at most their alpha (`alpha.covered`); changed in place. */
function bound(values, channels, at = 0) {
  const alpha = channels % 2 ? 1 : clamp(values[at + channels - 1], -1, 1);
  for (let c = at; c < at + channels; c++) values[c] = Math.min(clamp(values[c], -1, 1), alpha);
}

// ---- Coordinates (coords.py)

/** Grid {size, middle, cell} of a picture, (y, x) in composition units: `coords.view`. */
function viewGrid(size, frame, window = [0, 0, 1, 1], fit = "fit") {
  const [top, left, bottom, right] = window;
  let cell = [(frame[0] * (bottom - top)) / size[0], (frame[1] * (right - left)) / size[1]];
  if (fit === "fit") cell = [Math.max(...cell), Math.max(...cell)];
  if (fit === "fill") cell = [Math.min(...cell), Math.min(...cell)];
  return { size, cell, middle: [frame[0] * ((top + bottom) / 2 - 0.5), frame[1] * ((left + right) / 2 - 0.5)] };
}

const sidesOf = (part) => part.map(([first, stop]) => stop - first);

const pitchOf = ({ frame, height, width }) => [frame[0] / height, frame[1] / width];

/** Values of the function along a side of a pixel: `Features.supersample`. */
function supersample(field, cell) {
  if (!field.layers) return 1; // means of pixels are exact
  const width = field.layers.cell ? COARSEST : 1 / 4;
  return Math.max(1, ...pitchOf(field).map((pitch, i) => Math.ceil(cell[i] / pitch / width - 1e-9)));
}

/** Part [rows, columns] of a grid beyond which only canvas lies, and so many pixels more: `Features.touched`. */
function touched(field, { size, middle, cell }, more) {
  return pitchOf(field).map((pitch, i) => {
    const half = ([field.height, field.width][i] / 2 + MARGIN + 0.5) * pitch + cell[i] / 2;
    const index = (point) => (point - middle[i]) / cell[i] + (size[i] - 1) / 2;
    return [Math.floor(index(-half)) - more, Math.ceil(index(half)) + 1 + more].map((n) => clamp(n, 0, size[i]));
  });
}

// ---- Weights (network/heads.py, linear.py)

/** Integral from -inf to u of the cubic B-spline. */
function quartic(u) {
  if (u >= 2) return 1;
  let sum = 0;
  for (let k = 0; k < 5; k++) sum += (Math.max(u - (k - 2), 0) ** 4 * [1, -4, 6, -4, 1][k]) / 24;
  return sum;
}

/** The cubic B-spline. */
function cubic(u) {
  const a = Math.abs(u);
  return a < 1 ? 2 / 3 - a ** 2 + a ** 3 / 2 : Math.max(2 - a, 0) ** 3 / 6;
}

/** Adds to `row` the weights of samples `start`, `start` + 1, ... in a cell at a position: `spline_weights`. */
function splineWeights(position, width, count, start, row) {
  const [begin, end] = [-2, count + 1], [low, high] = [position - width / 2, position + width / 2];
  const from = clamp(low, begin, end), to = clamp(high, begin, end), at = clamp(position, begin, end);
  const add = (node, weight) => (row[clamp(node, 0, count - 1) - start] += weight);
  for (let node = Math.floor(from - 2) + 1; node < to + 2; node++) {
    add(node, width > 1e-3 ? (quartic(to - node) - quartic(from - node)) / width : cubic(at - node));
  }
  if (width > 1e-3) {
    if (low < begin) add(0, clamp((begin - low) / width, 0, 1));
    if (high > end) add(count - 1, clamp((high - end) / width, 0, 1));
  }
}

/** The same for samples that are constant over their cells: `box_weights`. */
function boxWeights(position, width, count, start, row) {
  const half = width / 2;
  for (let i = 0; i < row.length; i++) {
    const node = start + i;
    const left = node === 0 ? -Infinity : node - 0.5, right = node === count - 1 ? Infinity : node + 0.5;
    row[i] = Math.max(0, Math.min(position + half, right) - Math.max(position - half, left)) / (2 * half);
  }
}

/**
 * Weights of the samples in rows or columns of a grid, each split into `factor`: {n, per, lines, first, stop}. A line
 * holds the number of a sample and the weights of it and those after it, `per` in all, between `first` and `stop`.
 */
function axisWeights(field, canvas, grid, axis, [begin, end], factor) {
  const pitch = pitchOf(field)[axis], count = [canvas.height, canvas.width][axis];
  const cell = grid.cell[axis] / factor, n = (end - begin) * factor;
  const width = field.layers ? cell / pitch : Math.max(cell / pitch, 1e-6);
  const per = Math.min(count, field.layers?.per ?? Math.ceil(width) + 1);
  const reach = field.layers ? width / 2 + 2 : width / 2 + 0.5;
  const kernel = field.layers ? splineWeights : boxWeights;
  const lines = new Float32Array(n * (per + 1)), row = new Float64Array(per);
  for (let i = 0; i < n; i++) {
    const pixel = begin + Math.floor(i / factor), offset = (i % factor) - (factor - 1) / 2;
    const point = grid.middle[axis] + grid.cell[axis] * (pixel - (grid.size[axis] - 1) / 2) + cell * offset;
    const position = point / pitch + (count - 1) / 2;
    const start = clamp(Math.floor(clamp(position, -2, count + 1) - reach) + 1, 0, count - per);
    kernel(position, width, count, start, row.fill(0));
    lines.set([start, ...row], i * (per + 1));
  }
  return { n, per, lines, first: lines[0], stop: lines.at(-per - 1) + per };
}

// ---- Drawing on typed arrays

/** x / (1 + exp(-x)) */
const silu = (x) => x / (1 + Math.exp(-x));

/** Values of the function from features `x`, which are changed, into `values`: `FieldHead.values`. */
function evaluate({ read, all, outer, bias, last, channels, units, cell }, x, values, at) {
  for (let k = 0; k < units; k++) x[k] = silu(x[k]);
  for (let c = 0; c < channels; c++) values[at + c] = all[last + c];
  for (let j = 0, matrix = 0; j < units; j++) {
    const inputs = read[j >> 2];
    let sum = all[bias + j];
    for (let n = 0, p = matrix + (j % 4); n < inputs.length; n++, p += 16) {
      for (let i = 0; i < 4; i++) sum += all[p + 4 * i] * x[inputs[n] + i];
    }
    const unit = silu(sum);
    for (let c = 0; c < channels; c++) values[at + c] += all[outer + 4 * j + c] * unit;
    if (j % 4 === 3) matrix += 16 * inputs.length;
  }
  if (cell) for (let c = 0; c < channels; c++) values[at + c] = x[units + c] + x[units + 4 + c] * values[at + c];
}

/** Bytes of a pixel, from its premultiplied mean: `alpha.straight`, then `images.to_bytes`. */
function toBytes(values, channels, from, bytes, at) {
  const alpha = channels % 2 ? 1 : values[from + channels - 1], colours = channels < 3 ? 1 : 3;
  for (let c = 0; c < 3; c++) {
    const value = values[from + Math.min(c, colours - 1)] + 1;
    bytes[at + c] = Math.round((channels % 2 ? value / 2 : value / Math.max(alpha + 1, 1e-6)) * 255);
  }
  bytes[at + 3] = Math.round((alpha + 1) * 127.5);
}

/**
 * Values of the function at the points of a row, {read, lines, values, run}: `run` makes four values of each point
 * from the features of the row in `read` and the points' weights in `lines`.
 */
function plainRow({ layers, channels }, { width, four }, per, n) {
  const [read, lines, values] = [width * four, n * (per + 1), n * 4].map((count) => new Float32Array(count));
  const x = new Float64Array(four);
  const run = () => {
    for (let j = 0; j < n; j++) {
      const at = j * (per + 1);
      x.fill(0);
      for (let i = 0; i < per; i++) {
        const from = (lines[at] + i) * four, weight = lines[at + 1 + i];
        for (let k = 0; k < four; k++) x[k] += weight * read[from + k];
      }
      if (layers) evaluate(layers, x, values, 4 * j);
      else for (let c = 0; c < channels; c++) values[4 * j + c] = x[c];
    }
  };
  return { read, lines, values, run };
}

// ---- The same on four numbers at once: a program of WebAssembly, as nested lists of its bytes

const leb = (n, most = 127) => (n > most ? [(n & 127) | 128, leb(n >> 7, most)] : n & 127);
const whole = (n) => [0x41, leb(n, 63)]; // i32.const, which has a sign
const fours = (x) => [0x43, ...new Uint8Array(Float32Array.of(x).buffer), 0xfd, 0x13]; // f32x4.splat
const get = (i) => [0x20, i], set = (i) => [0x21, i], tee = (i) => [0x22, i]; // locals
const [ADD, SUB, TIMES, OVER, LEAST, MOST] = [0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9].map((code) => [0xfd, code, 1]);
const load = (at) => [0xfd, 0, 2, leb(at)], spread = (at) => [0xfd, 9, 2, leb(at)]; // of four numbers, or of one
const store = (at) => [0xfd, 11, 2, leb(at)], silus = [0x10, 0];
const sized = (...code) => [leb(code.flat(Infinity).length), code];
const section = (id, ...items) => [id, sized(leb(items.length), items)];

/** silu: exp(-x) = 2^n * 2^f with n whole and f in [-1/2, 1/2], by the series of 2^f, which is 1e-7 off. */
const SILU = [
  [1, 2, 0x7b, get(0), fours(-Math.LOG2E), TIMES, fours(126), LEAST, fours(-126), MOST, tee(1)],
  [get(1), 0xfd, 0x6a, tee(1), SUB, set(2), fours(Math.LN2 ** 6 / 720)], // n is the nearest, f the rest
  [120, 24, 6, 2, 1, 1].map((n, i) => [get(2), TIMES, fours(Math.LN2 ** (5 - i) / n), ADD]),
  [get(1), 0xfd, 0xf8, 1, whole(127), 0xfd, 0x11, 0xfd, 0xae, 1, whole(23), 0xfd, 0xab, 1], // 2^n: the bits of 127 + n
  [TIMES, fours(1), ADD, set(1), get(0), get(1), OVER, 0x0b],
];

/** The program of `vectorRow`: {memory, run, from}, the last where it finds features, in bytes. */
function assemble({ read, all, outer, bias, last, four, units, per, cell }) {
  const x = last + 4, unit = x + four, from = 4 * (unit + units); // places in memory, but for the last in numbers
  const code = [get(0), 0x2a, 2, 0, 0xa8, whole(4 * four), 0x6c, set(3)]; // where the first sample's features are
  const plus = (one, more) => code.push(whole(0), spread(4 * one), whole(0), load(4 * more), TIMES, ADD);
  for (let k = 0; k < four; k += 4) {
    code.push(whole(0));
    for (let i = 0; i < per; i++) {
      code.push(get(3), load(from + 4 * (i * four + k)), get(0), spread(4 * i + 4), TIMES, i ? ADD : []);
    }
    code.push(k < units ? silus : [], store(4 * (x + k)));
  }
  let matrix = 0;
  read.forEach((inputs, j) => {
    code.push(whole(0), whole(0), load(4 * (bias + 4 * j)));
    for (const k of inputs) for (let i = 0; i < 4; i++, matrix += 4) plus(x + k + i, matrix);
    code.push(silus, store(4 * (unit + 4 * j)));
  });
  code.push(get(1), whole(0), load(4 * last));
  for (let j = 0; j < units; j++) plus(unit + j, outer + 4 * j);
  const [own, span] = [0, 4].map((more) => [whole(0), load(4 * (x + units + more))]);
  code.push(cell ? [span, TIMES, own, ADD] : [], store(0)); // and on to the next point
  for (const [i, step] of [[0, 4 * (per + 1)], [1, 16], [2, -1]]) code.push(get(i), whole(step), 0x6a, set(i));
  const bytes = [
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [0x60, 1, 0x7b, 1, 0x7b], [0x60, 3, 0x7f, 0x7f, 0x7f, 0]), // silu(x), run(lines, values, n)
    section(3, 0, 1),
    section(5, [0, leb(Math.ceil(from / 2 ** 16))]),
    section(7, [1, 0x6d, 2, 0], [1, 0x72, 0, 1]), // memory is called "m", run "r"
    section(10, sized(SILU), sized(1, 1, 0x7f, 3, 0x40, code, get(2), 0x0d, 0, 0x0b, 0x0b)),
  ];
  const program = new WebAssembly.Module(Uint8Array.from(bytes.flat(Infinity)));
  const { m: memory, r: run } = new WebAssembly.Instance(program).exports;
  return { memory, run, from };
}

/** The same as `plainRow`, many times as fast; null where a page forbids it, or for too large layers. */
function vectorRow({ layers }, { width, four }, per, n) {
  if (!layers || layers.all.length > 2 ** 16) return null;
  try {
    layers.program ??= assemble(layers);
  } catch {
    layers.program = false;
  }
  if (!layers.program) return null;
  const { memory, run, from } = layers.program, lines = from + 4 * width * four, values = lines + 4 * n * (per + 1);
  const pages = Math.ceil((values + 16 * n) / 2 ** 16) - memory.buffer.byteLength / 2 ** 16;
  if (pages > 0) memory.grow(pages);
  new Float32Array(memory.buffer).set(layers.all);
  const part = (first, stop) => new Float32Array(memory.buffer, first, (stop - first) / 4);
  const shared = { read: part(from, lines), lines: part(lines, values), values: part(values, values + 16 * n) };
  return { ...shared, run: () => run(lines, values, n) };
}

/** Draws with typed arrays. */
class Arrays {
  name = "arrays";

  /** Straight RGBA bytes of a part [rows, columns] of a grid, each [first, stop]. */
  draw(field, canvas, grid, part) {
    const factor = supersample(field, grid.cell), { four } = canvas, { channels } = field;
    tell(field, grid, factor);
    const [y, x] = part.map((range, axis) => axisWeights(field, canvas, grid, axis, range, factor));
    const [high, wide] = sidesOf(part);
    const bytes = new Uint8ClampedArray(high * wide * 4), sums = new Float64Array(wide * 4);
    const { read, lines, values, run } = vectorRow(field, canvas, x.per, x.n) ?? plainRow(field, canvas, x.per, x.n);
    lines.set(x.lines);
    for (let i = 0; i < y.n; i++) {
      read.fill(0);
      for (let k = 0, at = i * (y.per + 1); k < y.per; k++) {
        const weight = y.lines[at + 1 + k], from = (y.lines[at] + k) * canvas.width * four;
        for (let p = x.first * four; p < x.stop * four; p++) read[p] += weight * canvas.values[from + p];
      }
      run();
      for (let j = 0; j < x.n; j++) {
        bound(values, channels, 4 * j);
        const at = Math.floor(j / factor) * 4;
        for (let c = 0; c < channels; c++) sums[at + c] += values[4 * j + c] / factor ** 2;
      }
      if ((i + 1) % factor) continue;
      const row = Math.floor(i / factor) * sums.length;
      for (let at = 0; at < sums.length; at += 4) toBytes(sums, channels, at, bytes, row + at);
      sums.fill(0);
    }
    return bytes;
  }
}

// ---- Drawing by WebGL2

const HEADER = `#version 300 es
precision highp float; precision highp int; precision highp sampler2D;
`;

const CORNERS = `${HEADER}
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;

/** Shader that reads the features of a row by the rows' weights; x counts groups of four features. */
const ROWS = `${HEADER}
uniform sampler2D features, rows; uniform int per, offset; out vec4 read;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  int start = int(texelFetch(rows, ivec2(0, at.y), 0).r);
  read = vec4(0.0);
  for (int k = 0; k < per; k++) {
    read += texelFetch(rows, ivec2(k + 1, at.y), 0).r * texelFetch(features, ivec2(at.x + offset, start + k), 0);
  }
}`;

/** Shader of the pixels: the columns' weights, the layers, and the mean over the pixel. */
function pixelShader({ layers, channels }, four) {
  const groups = four / 4, units = layers?.units / 4, last = "rgba"[channels - 1], alpha = channels % 2 === 0;
  let matrix = 0;
  const sums = layers?.read.map((inputs, j) => {
    const terms = inputs.map((k) => `hidden[${matrix++}] * x[${k / 4}]`);
    return `value += outer[${j}] * silu(${[`bias[${j}]`, ...terms].join(" + ")});`;
  });
  return `${HEADER}
${layers ? `layout(std140) uniform Layers {
  mat4 hidden[${matrix}]; mat4 outer[${units}]; vec4 bias[${units}]; vec4 last; };` : ""}
uniform sampler2D read, columns; uniform int per, offset, factor, flip; out vec4 colour;
vec4 silu(vec4 x) { return x / (1.0 + exp(-x)); }
vec4 point(int row, int column) {
  int start = int(texelFetch(columns, ivec2(0, column), 0).r) - offset;
  vec4 x[${groups}];
  for (int k = 0; k < ${groups}; k++) x[k] = vec4(0.0);
  for (int i = 0; i < per; i++) {
    float weight = texelFetch(columns, ivec2(i + 1, column), 0).r;
    for (int k = 0; k < ${groups}; k++) x[k] += weight * texelFetch(read, ivec2((start + i) * ${groups} + k, row), 0);
  }
  ${layers ? `for (int k = 0; k < ${units}; k++) x[k] = silu(x[k]);
  vec4 value = last;
  ${sums.join("\n")}
  ${layers.cell ? `value = x[${units}] + x[${units + 1}] * value;` : ""}` : "vec4 value = x[0];"}
  value = clamp(value, -1.0, 1.0);
  return ${alpha ? `min(value, value.${last})` : "value"};
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  if (flip >= 0) at.y = flip - at.y;
  vec4 sum = vec4(0.0);
  for (int i = 0; i < factor; i++) {
    for (int j = 0; j < factor; j++) sum += point(at.y * factor + i, at.x * factor + j);
  }
  vec4 value = (sum / float(factor * factor) + 1.0) / 2.0;
  float alpha = ${alpha ? `value.${last}` : "1.0"};
  vec3 straight = value.${channels < 3 ? "rrr" : "rgb"}${alpha ? " / max(alpha, 5e-7)" : ""};
  colour = floor(clamp(vec4(straight, alpha), 0.0, 1.0) * 255.0 + 0.5) / 255.0;
}`;
}

/** Draws by WebGL2. */
class Graphics {
  name = "webgl2";

  /** Throws without a WebGL2 that draws floats; that of processors is slow, and only taken if told. */
  constructor(told) {
    this.canvas = new OffscreenCanvas(1, 1);
    const gl = this.canvas.getContext("webgl2", { premultipliedAlpha: false, antialias: false });
    const card = gl?.getExtension("WEBGL_debug_renderer_info");
    const name = card && gl.getParameter(card.UNMASKED_RENDERER_WEBGL);
    if (!told && /swiftshader|llvmpipe|software|basic render/i.test(name)) throw new Error("no graphics card");
    if (!gl?.getExtension("EXT_color_buffer_float")) throw new Error("no WebGL2 that draws floats");
    this.gl = gl;
    this.most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    this.frame = gl.createFramebuffer();
    this.textures = [0, 1, 2, 3].map(() => gl.createTexture());
    this.reading = this.#program(ROWS);
    this.programs = new WeakMap();
    gl.bindBufferBase(gl.UNIFORM_BUFFER, 0, gl.createBuffer());
  }

  /** Whether all of it fits this graphics card. */
  takes(field, canvas, grid, part) {
    const { gl } = this, points = Math.max(...sidesOf(part)) * supersample(field, grid.cell);
    if (Math.max((canvas.width * canvas.four) / 4, canvas.height, points) > this.most) return false;
    return !field.layers || field.layers.all.byteLength <= gl.getParameter(gl.MAX_UNIFORM_BLOCK_SIZE);
  }

  /** A part [rows, columns] of a grid as an ImageBitmap, or as straight RGBA bytes. */
  draw(field, canvas, grid, part, asBitmap) {
    const { gl } = this, [high, wide] = sidesOf(part);
    if (gl.isContextLost()) throw new Error("lost");
    resize(this.canvas, high, wide);
    const factor = supersample(field, grid.cell), groups = canvas.four / 4;
    tell(field, grid, factor);
    const [y, x] = part.map((range, axis) => axisWeights(field, canvas, grid, axis, range, factor));
    const { first: offset, stop } = x, across = (stop - offset) * groups;
    this.#texture(0, gl.R32F, y.per + 1, y.n, gl.RED, y.lines);
    this.#texture(1, gl.R32F, x.per + 1, x.n, gl.RED, x.lines);
    this.#texture(2, gl.RGBA32F, across, y.n, gl.RGBA, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.textures[2], 0);
    const { width, height, values } = canvas;
    if (this.shown !== canvas) this.#texture(3, gl.RGBA32F, width * groups, height, gl.RGBA, values);
    this.shown = canvas;
    this.#run(this.reading, across, y.n, { features: 3, rows: 0, per: y.per, offset: offset * groups });
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    if (!this.programs.has(field)) this.programs.set(field, this.#program(pixelShader(field, canvas.four)));
    const flip = asBitmap ? high - 1 : -1; // bitmaps begin with their upper row, bytes with the lower
    const uniforms = { read: 2, columns: 1, per: x.per, offset, factor, flip };
    this.#run(this.programs.get(field), wide, high, uniforms, field.layers);
    // of a bitmap one is read, to wait for all
    const bytes = new Uint8ClampedArray(asBitmap ? 4 : high * wide * 4);
    gl.readPixels(0, 0, asBitmap ? 1 : wide, asBitmap ? 1 : high, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
    return asBitmap ? this.canvas.transferToImageBitmap() : bytes;
  }

  /** Fills the texture of a unit: 0 rows' weights, 1 columns', 2 the rows that are read, 3 the features. */
  #texture(unit, kind, width, height, format, values) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, this.textures[unit]);
    gl.texImage2D(gl.TEXTURE_2D, 0, kind, width, height, 0, format, gl.FLOAT, values);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST); // floats have no other filter everywhere
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  }

  /** Runs a program for so many pixels. */
  #run(program, width, height, uniforms, layers) {
    const { gl } = this;
    gl.useProgram(program);
    for (const [name, value] of Object.entries(uniforms)) gl.uniform1i(gl.getUniformLocation(program, name), value);
    if (layers) gl.bufferData(gl.UNIFORM_BUFFER, layers.all, gl.STATIC_DRAW);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /** A program of a fragment shader. */
  #program(shader) {
    const { gl } = this, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, CORNERS], [gl.FRAGMENT_SHADER, shader]]) {
      const part = gl.createShader(kind);
      gl.shaderSource(part, text);
      gl.compileShader(part);
      gl.attachShader(program, part);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    return program;
  }
}

// ---- The worker, and who asks it

/** The worker, which `Painter` asks. */
function serve() {
  const fields = new Map(), canvases = new Map(), arrays = new Arrays();
  let graphics, idle, opened = 0;
  const canvasOf = (id, index) => {
    const key = `${id}/${index}`;
    if (canvases.size > 64) canvases.clear();
    if (!canvases.has(key)) canvases.set(key, onCanvas(fields.get(id), index));
    return canvases.get(key);
  };
  const start = (told) => {
    try {
      graphics ??= new Graphics(told);
    } catch {
      graphics = null; // typed arrays draw
    }
  };
  const tasks = {
    draw({ id, index, grid, part, asBitmap, engine }) {
      const field = fields.get(id), canvas = canvasOf(id, index), begun = performance.now();
      // shaders take long to start: typed arrays draw the first picture
      clearTimeout(idle);
      if (graphics === undefined && !engine && asBitmap) idle = setTimeout(start, 500);
      if (!graphics && engine === "webgl2") start(true);
      let pixels;
      if (graphics?.takes(field, canvas, grid, part) && engine !== "arrays") {
        try {
          pixels = graphics.draw(field, canvas, grid, part, asBitmap);
        } catch {
          graphics = null;
        }
      }
      const { name } = pixels ? graphics : arrays;
      pixels ??= arrays.draw(field, canvas, grid, part);
      return { pixels, name, ms: performance.now() - begun };
    },
    open({ bytes }) {
      const field = parseField(bytes);
      fields.set(++opened, field);
      const { values, layers, ...told } = field;
      return { id: opened, layers: layers && { cell: Boolean(layers.cell) }, ...told };
    },
    close({ id }) {
      fields.delete(id);
      return {};
    },
  };
  globalThis.onmessage = ({ data: { job, task, ...rest } }) => {
    try {
      const answer = tasks[task](rest), { pixels } = answer;
      postMessage({ job, answer }, pixels ? [pixels.buffer ?? pixels] : []);
    } catch (error) {
      postMessage({ job, error: error.message });
    }
  };
}

/** Draws in a worker, one task after the other; all elements of a page share it. */
class Painter {
  #jobs = new Map();
  #count = 0;
  #opened = new Map(); // by source

  constructor() {
    // this module is the worker too: by its address, or by its text where a page holds it, and then as no module, which
    // pages opened from disk do not start
    const held = document.getElementById("s2id-player")?.textContent;
    const text = held?.replace(/^export /gm, "").replaceAll("import.meta", "self");
    const program = new Blob([text ?? `import ${JSON.stringify(import.meta.url)}`], { type: "text/javascript" });
    this.worker = new Worker(URL.createObjectURL(program), { type: held ? "classic" : "module" });
    this.worker.onmessage = ({ data: { job, answer, error } }) => {
      const [resolve, reject] = this.#jobs.get(job);
      this.#jobs.delete(job);
      error ? reject(new Error(error)) : resolve(answer);
    };
    this.worker.onerror = () => {
      for (const [, reject] of this.#jobs.values()) reject(new Error("The worker that draws does not start."));
    };
  }

  ask(message, transfer = []) {
    return new Promise((resolve, reject) => {
      this.#jobs.set(++this.#count, [resolve, reject]);
      this.worker.postMessage({ job: this.#count, ...message }, transfer);
    });
  }

  /** Facts of the field in an ArrayBuffer, or at a source, which is opened once. */
  open(bytes, source) {
    if (source === undefined) return this.ask({ task: "open", bytes }, [bytes]);
    const fetched = async () => ({ ...(await this.open(await bytesOf(source))), kept: true });
    if (!this.#opened.has(source)) this.#opened.set(source, fetched());
    return this.#opened.get(source);
  }
}

/** Bytes of a field file: in base64 in an element ("#name"), or at an address. */
async function bytesOf(source) {
  const holder = source.startsWith("#") && document.getElementById(source.slice(1));
  if (holder) return Uint8Array.from(atob(holder.textContent.trim()), (c) => c.charCodeAt(0)).buffer;
  const answer = await fetch(source).catch(() => null);
  if (!answer?.ok) throw new Error(`The field file ${source.slice(0, 80)} cannot be read; check its address.`);
  return answer.arrayBuffer();
}

let painter; // of all elements

// ---- PNG files (images.py)

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

/** A chunk of a PNG file (PNG specification, section 5.3). */
function chunk(name, data) {
  const bytes = new Uint8Array(data.length + 12), view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  let crc = ~0;
  for (let i = 4; i < bytes.length - 4; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  view.setUint32(bytes.length - 4, ~crc);
  return bytes;
}

/** A PNG file as a Blob, from strips of straight RGBA rows: `images.write_png`. */
async function encodePng([height, width], channels, strips) {
  const header = new Uint8Array(13), view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, [0, 4, 2, 6][channels - 1]], 8);
  const kept = [[0], [0, 3], [0, 1, 2], [0, 1, 2, 3]][channels - 1];
  const packer = new CompressionStream("deflate"), writer = packer.writable.getWriter();
  const packed = new Response(packer.readable).arrayBuffer();
  const wide = width * channels, line = new Uint8Array(wide), above = new Uint8Array(wide);
  for await (const strip of strips) {
    const rows = strip.length / (4 * width), lines = new Uint8Array(rows * (wide + 1));
    for (let row = 0, at = 0; row < rows; row++) {
      for (let i = 0, n = 0; i < width; i++) for (const c of kept) line[n++] = strip[(row * width + i) * 4 + c];
      lines[at++] = 2; // filter "up": differences from the row above
      for (let n = 0; n < wide; n++) lines[at++] = line[n] - above[n];
      above.set(line);
    }
    await writer.write(lines);
  }
  await writer.close();
  const chunks = [chunk("IHDR", header), chunk("IDAT", new Uint8Array(await packed)), chunk("IEND", [])];
  return new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...chunks], { type: "image/png" });
}

// ---- The element

const button = (key, label, path) => `<button type="button" value="${key}" aria-label="${label}" title="${label}">
  <svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg></button>`;

const BODY = `
<canvas tabindex="0" role="application" aria-roledescription="zoomable picture" aria-describedby="hint"></canvas>
<p id="hint" hidden>Arrow keys move, plus and minus zoom, 0 shows the whole picture, f fills the screen, s saves.</p>
<p class="message" role="alert" hidden></p>
<div class="below" hidden>
<output class="scale"><span class="words"></span><span class="bar" aria-hidden="true"></span></output>
<div class="tools" role="toolbar" aria-label="Picture">
${button("+", "Zoom in", "M12 5v14M5 12h14")}
${button("-", "Zoom out", "M5 12h14")}
${button("0", "Show the whole picture", "M5 9V5h4M15 5h4v4M19 15v4h-4M9 19H5v-4")}
${button("f", "Full screen", "M14 10l6-6M15 4h5v5M10 14l-6 6M4 15v5h5")}
${button("s", "Save as PNG", "M12 4v11M7 11l5 5 5-5M5 20h14")}
</div></div>
<dialog aria-labelledby="saving">
<form method="dialog">
<b id="saving">Save as PNG</b>
<label>Long side, in pixels <input name="side" type="number" min="1" max="8192" value="2048" required></label>
<label>What <select name="what"><option value="view">this view<option value="whole">all</select></label>
<progress max="1" value="0" aria-label="Share of the picture that is drawn" hidden></progress>
<div><button value="cancel" formnovalidate>Cancel</button><button value="save">Save</button></div>
</form>
</dialog>`;

const STYLE = `
:host { display: block; position: relative; overflow: hidden; min-height: 6rem; color-scheme: light dark;
  font: 0.875rem/1.4 system-ui, sans-serif;
  color: light-dark(#111, #eee); }
:host([still]) { min-height: 0; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; touch-action: none; cursor: grab; display: block; }
canvas.alpha { background: repeating-conic-gradient(#ccc 0 25%, #fff 0 50%) 0 0 / 24px 24px; }
canvas:active { cursor: grabbing; }
:host([still]) canvas { touch-action: auto; cursor: inherit; }
canvas:focus-visible { outline: 3px solid #47f; outline-offset: -3px; }
.below { position: absolute; inset: auto 0.5rem 0.5rem; display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: end;
  justify-content: space-between; pointer-events: none; }
.tools, .scale, .message { border-radius: 0.5rem; background: light-dark(#fffd, #222d); outline: 1px solid #8885; }
.tools { display: flex; margin-left: auto; pointer-events: auto; }
[hidden] { display: none !important; }
.tools button { width: 2.5rem; height: 2.5rem; padding: 0; border: 0; border-radius: 0.5rem; background: none;
  color: inherit; }
.tools button:hover { background: light-dark(#0002, #fff2); }
svg { width: 1.25rem; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; }
.scale { padding: 0.25rem 0.5rem; font-size: 0.75rem; }
.bar { display: block; box-sizing: border-box; height: 0.4rem; border: solid currentColor; border-width: 0 2px 2px; }
.message { position: absolute; inset: 0.5rem 0.5rem auto; margin: 0; padding: 0.5rem 0.75rem; }
dialog { border: 1px solid #8888; border-radius: 0.75rem; max-width: 20rem; }
label { display: flex; justify-content: space-between; gap: 1rem; align-items: center; margin: 0.5rem 0; }
input, select, dialog button { font: inherit; padding: 0.3rem 0.5rem; min-width: 5rem; }
progress { width: 100%; }
form div { display: flex; justify-content: end; gap: 0.5rem; margin-top: 0.75rem; }`;

/** Shares of the element that a key or button moves by, (y, x), and its zoom. */
const KEYS = {
  ArrowUp: [-0.1, 0, 1], ArrowDown: [0.1, 0, 1], ArrowLeft: [0, -0.1, 1], ArrowRight: [0, 0.1, 1],
  "+": [0, 0, 1.5], "=": [0, 0, 1.5], "-": [0, 0, 1 / 1.5],
};

const nextFrame = () => new Promise(requestAnimationFrame);

/**
 * <s2id-field src="seven.safetensors"> shows a field, to zoom into.
 *
 * Attributes: `src`, an address or "#id" of an element with the file in base64; `index` of the function in the file;
 * `label`, what it is of; `still` for a picture without controls; `linked`, a prefix with which the view is kept in the
 * page's address; `engine="arrays"` or "webgl2". The event "s2id-view" tells of each view at rest.
 */
export class FieldElement extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["src", "index", "label"];
  #view = { y: 0.5, x: 0.5, zoom: 1 }; // middle as a share of the frame, and how much larger than the frame fits
  field = null; // frame, channels, count, and what the file says, once it is read
  #size = [0, 0]; // height and width, in pixels of the screen
  #version = 0; // of what is to be seen
  #shown = -1;
  #busy = false;
  #moved = 0; // when the view last changed
  #cost = USUAL_MS; // milliseconds for each value of the function
  #pointers = new Map();
  #tapped = null;
  #goal = null; // the view to which it glides

  connectedCallback() {
    if (!this.shadowRoot) this.#build();
    this.resizes ??= new ResizeObserver(([{ contentRect: box }]) => {
      const before = `${this.#size}`;
      if (`${this.#fit(box)}` !== before) this.#wake();
    });
    this.resizes.observe(this);
    this.#load();
  }

  disconnectedCallback() {
    this.resizes.disconnect();
  }

  attributeChangedCallback(name) {
    if (!this.isConnected || !this.shadowRoot) return;
    if (name === "label") this.#name();
    else if (name === "index" && this.field) {
      this.#moved = performance.now();
      this.#turn();
    } else this.#load();
  }

  /** What is seen: {y, x, zoom}. */
  get view() {
    return { ...this.#view };
  }

  set view({ y, x, zoom }) {
    this.#goal = null;
    this.#move(y, x, zoom);
  }

  /** What is seen, [top, left, bottom, right] as shares of the frame, as `Field.image(window=...)` takes it. */
  get window() {
    const { cell, middle } = this.#grid(), { frame } = this.field;
    const half = [0, 1].map((i) => (cell[i] * this.#size[i]) / 2);
    return [-1, 1].flatMap((side) => [0, 1].map((i) => clamp((middle[i] + side * half[i]) / frame[i] + 0.5, 0, 1)));
  }

  /** Straight RGBA bytes of the picture at a size (height, width): `Field.image`. */
  async render(size, { window, fit } = {}) {
    const bytes = new Uint8ClampedArray(size[0] * size[1] * 4);
    let at = 0;
    for await (const strip of this.#strips(viewGrid(size, this.field.frame, window, fit))) {
      bytes.set(strip, at);
      at += strip.length;
    }
    return bytes;
  }

  /** A PNG file at a size, as a Blob; of what is seen, or of the whole. */
  async png(size, whole = false, progress) {
    const seen = this.#grid(), cell = Math.max(...[0, 1].map((i) => (seen.cell[i] * this.#size[i]) / size[i]));
    const grid = whole ? viewGrid(size, this.field.frame) : { size, cell: [cell, cell], middle: seen.middle };
    return encodePng(size, this.field.channels, this.#strips(grid, progress));
  }

  /** Shows the field in an ArrayBuffer. */
  open(bytes) {
    return this.#become(() => painter.open(bytes));
  }

  // -- what is shown

  #load() {
    const source = this.getAttribute("src");
    if (source === null) return this.#say("Drop a field file of S2ID here.");
    return this.#become(() => painter.open(null, source));
  }

  async #become(open) {
    const loading = (this.loading = {}); // the last to load is shown
    try {
      painter ??= new Painter();
      const field = await open();
      if (loading !== this.loading) return;
      if (this.field && !this.field.kept) painter.ask({ task: "close", id: this.field.id });
      this.field = field;
      this.#cost = USUAL_MS;
      this.style.aspectRatio ||= `${field.frame[1]} / ${field.frame[0]}`;
      this.canvas.classList.toggle("alpha", field.channels % 2 === 0);
      this.#find(".below").hidden = this.hasAttribute("still");
      this.#name();
      this.#turn();
      this.dispatchEvent(new CustomEvent("s2id-open", { bubbles: true, detail: field.facts }));
    } catch (error) {
      if (loading === this.loading) this.#say(error.message);
    }
  }

  /** Takes the size of a box. */
  #fit({ height, width }) {
    return (this.#size = [height, width].map((side) => Math.round(side * devicePixelRatio)));
  }

  #turn() {
    const { count } = this.field, index = Number(this.getAttribute("index") ?? 0);
    const there = index >= 0 && index <= count - 1;
    this.#say(there ? "" : `This file has ${count} functions, from index 0 on, and none of index ${index}.`);
    if (!there) return;
    this.index = index;
    this.#fit(this.getBoundingClientRect()); // the observer waits for the browser's first frame
    this.#wake();
  }

  #say(sentence) {
    Object.assign(this.#find(".message"), { textContent: sentence, hidden: !sentence });
  }

  #name() {
    const { labels, seeds } = this.field?.facts ?? {};
    const own = [labels && `label ${labels}`, seeds && `seed ${seeds}`].filter(Boolean).join(", ");
    this.canvas.setAttribute("aria-label", this.getAttribute("label") || own || "Picture");
  }

  #find(selector) {
    return this.shadowRoot.querySelector(selector);
  }

  /** Grid of the view, whose pixels are `scale` pixels of the screen long; it begins at the same corner. */
  #grid(scale = 1) {
    const { frame } = this.field, [h, w] = this.#size, size = [Math.ceil(h / scale), Math.ceil(w / scale)];
    const cell = Math.max(frame[0] / h, frame[1] / w) / this.#view.zoom;
    const middle = [this.#view.y, this.#view.x].map(
      (share, i) => frame[i] * (share - 0.5) + (cell * (size[i] * scale - this.#size[i])) / 2,
    );
    return { size, middle, cell: [cell * scale, cell * scale] };
  }

  // -- drawing

  async #ask(grid, part, asBitmap = false) {
    const { id } = this.field, engine = this.getAttribute("engine"), { index } = this;
    const answer = await painter.ask({ task: "draw", id, index, grid, part, asBitmap, engine });
    this.engine = answer.name;
    return answer;
  }

  #wake() {
    this.#version++;
    if (!this.#busy && this.field && this.#size[0] > 0) this.#loop();
  }

  async #loop() {
    this.#busy = true;
    try {
      while (this.isConnected && this.#shown !== this.#version) await this.#frame(this.#version);
    } catch (error) {
      this.#say(error.message);
    } finally {
      this.#busy = false;
    }
  }

  /** Draws a version: coarsely where all of it takes longer than a frame, and then, if nothing moves, in tiles. */
  async #frame(version) {
    const scale = this.#coarse();
    await this.#draw(this.#grid(scale), scale);
    if (scale > 1) {
      this.#measure();
      while (performance.now() - this.#moved < REST_MS) {
        if (version !== this.#version) return;
        await nextFrame();
      }
      const grid = this.#grid();
      let before;
      // coarse pixels reach into the canvas around
      for (const part of this.#tiles(grid, touched(this.field, grid, 2 * Math.ceil(scale)))) {
        const drawn = this.#draw(grid, 1, part); // by the worker, while the part before it is shown
        await before;
        if (version !== this.#version) return drawn;
        before = drawn;
      }
      await before;
    }
    if (version === this.#version) this.#rest(version);
  }

  /** Values of the function in so many pixels of a grid. */
  #values(pixels, { cell }) {
    return pixels * supersample(this.field, cell) ** 2;
  }

  /** Length, in pixels of the screen, of those of a picture that is drawn within a frame, or as soon as can be. */
  #coarse() {
    let scale = 1;
    for (; supersample(this.field, this.#grid(scale + 0.5).cell) === 1; scale += 0.5) {
      const { size } = this.#grid(scale);
      if (size[0] * size[1] * this.#cost <= FRAME_MS) break;
    }
    return scale; // coarser pixels would be means of several values
  }

  /** Parts of a part, the middle of the view first, each of which is drawn in about `TILE_MS`. */
  *#tiles(grid, all) {
    const off = (part) => Math.hypot(...part.map(([first, stop], axis) => first + stop - grid.size[axis]));
    for (const parts = [all]; parts.length; parts.sort((a, b) => off(b) - off(a))) {
      const part = parts.pop(), [high, wide] = sidesOf(part), long = high > wide ? 0 : 1;
      const [first, stop] = part[long], middle = (first + stop) >> 1;
      if (Math.max(high, wide) > 64 && this.#values(high * wide, grid) * this.#cost > TILE_MS) {
        parts.push(part.with(long, [first, middle]), part.with(long, [middle, stop]));
      } else yield part;
    }
  }

  /** Draws a part of a grid, or all of it, whose pixels are `scale` pixels of the screen long. */
  async #draw(grid, scale, part = grid.size.map((n) => [0, n])) {
    const [high, wide] = sidesOf(part);
    let { pixels, ms } = await this.#ask(grid, part, true);
    // the least of late: the first are of compiling, too
    const cost = Math.max(ms, 0.1) / this.#values(high * wide, grid);
    if (high * wide >= 1024) this.#cost = Math.min(1.5 * this.#cost, cost);
    if (pixels.buffer) {
      pixels = await createImageBitmap(new ImageData(pixels, wide), { premultiplyAlpha: "none" });
    }
    resize(this.canvas, ...this.#size);
    const place = [part[1][0], part[0][0], wide, high].map((n) => n * scale);
    this.pen.clearRect(...place);
    this.pen.drawImage(pixels, ...place);
    pixels.close();
  }

  /** Pixels of a grid as strips of straight RGBA rows from the top. */
  async *#strips(grid, progress = () => {}) {
    const [high, wide] = grid.size, rows = Math.max(1, Math.floor(2 ** 18 / wide));
    for (let top = 0; top < high; top += rows) {
      const stop = Math.min(high, top + rows);
      yield (await this.#ask(grid, [[top, stop], [0, wide]])).pixels;
      progress(stop / high);
    }
  }

  #rest(version) {
    this.#shown = version;
    this.#measure();
    const { y, x, zoom } = this.#view;
    if (this.hasAttribute("linked")) {
      const link = `#${this.getAttribute("linked")}${[y, x].map((n) => +n.toFixed(12))},${+zoom.toPrecision(9)}`;
      if (version > 1 && link !== location.hash && (zoom !== 1 || location.hash)) history.replaceState(null, "", link);
    }
    this.dispatchEvent(new CustomEvent("s2id-view", { bubbles: true, detail: { ...this.#view, window: this.window } }));
  }

  /** Draws the scale bar: a round number of the training data's pixels, or a round part of one. */
  #measure() {
    const side = Number(this.field.facts.long_side), most = Math.min(140, this.clientWidth / 3);
    const unit = this.clientWidth / this.#size[1] / this.#grid().cell[0] / (side || 1); // of the page, for each pixel
    const room = most / unit, ten = 10 ** Math.floor(Math.log10(room) - 1e-9);
    const length = [5, 2, 1].find((n) => n * ten <= room) * ten, what = side ? "training pixel" : "long side";
    const count = Math.round(Math.max(length, 1 / length)).toLocaleString();
    const words = length < 1 ? `1/${count} of a ${what}` : `${count} ${what}${length > 1 ? "s" : ""}`;
    if (this.#find(".words").textContent !== words) this.#find(".words").textContent = words;
    this.#find(".bar").style.width = `${length * unit}px`;
  }

  // -- moving

  #move(y, x, zoom) {
    this.#view = { y: clamp(y, 0, 1), x: clamp(x, 0, 1), zoom: clamp(zoom, LEAST_ZOOM, MOST_ZOOM) };
    this.#moved = performance.now();
    this.#wake();
  }

  /** Zooms by a factor and moves by (y, x) pixels of the page; the point at `place` stays under it. */
  #zoom(factor, place = null, [dy, dx] = [0, 0], glide = false) {
    if (!this.field || this.hasAttribute("still")) return;
    const { frame } = this.field, { y, x, zoom } = (glide && this.#goal) || this.#view;
    const dots = this.#size[1] / this.clientWidth, cell = (this.#grid().cell[0] * dots * this.#view.zoom) / zoom;
    const target = clamp(zoom * factor, LEAST_ZOOM, MOST_ZOOM);
    const { top, left, height, width } = this.getBoundingClientRect(), ratio = zoom / target;
    const off = place ? [place.clientY - top - height / 2, place.clientX - left - width / 2] : [0, 0];
    const next = [y, x].map((share, i) => share + (cell * (off[i] * (1 - ratio) - [dy, dx][i] * ratio)) / frame[i]);
    if (glide && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.#glide(...next, target);
    else this.view = { y: next[0], x: next[1], zoom: target };
  }

  /** Moves to a view in a fifth of a second. */
  async #glide(y, x, zoom) {
    const from = this.view, goal = (this.#goal = { y, x, zoom }), start = performance.now();
    for (let share = 0; share < 1; ) {
      await nextFrame();
      if (goal !== this.#goal) return;
      share = Math.min(1, (performance.now() - start) / 200);
      const at = from.zoom * (zoom / from.zoom) ** share;
      const way = zoom === from.zoom ? share : (1 / from.zoom - 1 / at) / (1 / from.zoom - 1 / zoom);
      this.#move(from.y + (y - from.y) * way, from.x + (x - from.x) * way, at);
    }
    this.#goal = null;
  }

  #press(event) {
    if (this.hasAttribute("still") || event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, event);
    this.#goal = null;
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, event);
    const [dy, dx] = [event.clientY - before.clientY, event.clientX - before.clientX];
    if (!other) return this.#zoom(1, event, [dy, dx]);
    const apart = (a) => Math.max(8, Math.hypot(a.clientY - other.clientY, a.clientX - other.clientX));
    const middle = { clientY: (event.clientY + other.clientY) / 2, clientX: (event.clientX + other.clientX) / 2 };
    this.#zoom(apart(event) / apart(before), middle, [dy / 2, dx / 2]);
  }

  #release(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    const last = this.#tapped, soon = last && event.timeStamp - last.timeStamp < 350;
    const twice = soon && Math.hypot(event.clientX - last.clientX, event.clientY - last.clientY) < 24;
    this.#tapped = twice ? null : event;
    if (twice) this.#zoom(event.shiftKey ? 0.5 : 2, event, [0, 0], true);
  }

  #wheel(event) {
    const scrolls = document.scrollingElement.scrollHeight > innerHeight + 1;
    if (this.hasAttribute("still") || (scrolls && !this.matches(":focus-within"))) return; // then the page scrolls
    event.preventDefault();
    const lines = [1, 20, 400][event.deltaMode] * (event.ctrlKey ? 8 : 1); // ctrl: a pinch on a touchpad
    this.#zoom(Math.exp(-clamp(event.deltaY * lines, -400, 400) / 600), event);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#do(event.key)) event.preventDefault();
  }

  /** Does what a key or button stands for; whether it stands for anything. */
  #do(key) {
    if (key in KEYS) {
      const [dy, dx, factor] = KEYS[key];
      this.#zoom(factor, null, [-dy * this.clientHeight, -dx * this.clientWidth], factor !== 1);
    } else if (key === "0") this.#glide(0.5, 0.5, 1);
    else if (key === "f") document.fullscreenElement ? document.exitFullscreen() : this.requestFullscreen();
    else if (key === "s" && this.field) this.#find("dialog").showModal();
    else return false;
    return true;
  }

  /** Draws and saves what the form asks for; closing the dialog stops that. */
  async #save(event) {
    if (event.submitter?.value !== "save") return;
    event.preventDefault();
    const dialog = this.#find("dialog"), progress = this.#find("progress"), { side, what } = event.target.elements;
    const whole = what.value === "whole", { frame } = this.field, seen = whole ? frame : this.#size;
    const size = seen.map((n) => Math.max(1, Math.round((side.valueAsNumber * n) / Math.max(...seen))));
    progress.hidden = false;
    try {
      const file = await this.png(size, whole, (share) => {
        if (!dialog.open) throw new Error("stopped");
        progress.value = share;
      });
      const name = this.canvas.getAttribute("aria-label").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file) });
      link.download = `${name}-${size.join("x")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    } catch (error) {
      if (dialog.open) this.#say(`The picture was not saved: ${error.message}`);
    }
    progress.hidden = true;
    dialog.close();
  }

  #build() {
    const root = this.attachShadow({ mode: "open" }), sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = BODY; // a constant: nothing that a file or a page says
    this.canvas = root.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    if (this.hasAttribute("still")) {
      this.canvas.setAttribute("role", "img");
      for (const name of ["tabindex", "aria-roledescription", "aria-describedby"]) this.canvas.removeAttribute(name);
    }
    const on = (target, events) =>
      Object.entries(events).forEach(([name, f]) => target.addEventListener(name, f, { passive: false }));
    on(this.canvas, {
      pointerdown: (event) => this.#press(event),
      pointermove: (event) => this.#drag(event),
      pointerup: (event) => this.#release(event),
      pointercancel: (event) => this.#pointers.delete(event.pointerId),
      keydown: (event) => this.#key(event),
      wheel: (event) => this.#wheel(event),
    });
    on(this, {
      dragover: (event) => event.preventDefault(),
      drop: async (event) => {
        event.preventDefault();
        const [file] = event.dataTransfer.files;
        if (file) this.open(await file.arrayBuffer());
      },
    });
    on(this.#find(".tools"), { click: (event) => this.#do(event.target.closest("button")?.value) });
    on(this.#find("form"), { submit: (event) => this.#save(event) });
  }
}

if (typeof document === "undefined") serve();
else if (!customElements.get("s2id-field")) customElements.define("s2id-field", FieldElement);
