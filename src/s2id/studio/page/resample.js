// What others do with a small picture: its pixels as squares, and bicubic interpolation, of any window.

/** Keys' kernel with a = -1/2, as in Pillow. */
function keys(u) {
  const x = Math.abs(u);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** For each of n pixels of a part [from, to] of a side of `count` samples: the first sample read, and four weights. */
function taps(count, n, from, to) {
  return Array.from({ length: n }, (_, i) => {
    const at = (from + ((i + 0.5) / n) * (to - from)) * count - 0.5,
      first = Math.floor(at) - 1;
    const inside = [0, 1, 2, 3].map((k) => (first + k >= 0 && first + k < count ? keys(at - first - k) : 0));
    const sum = inside.reduce((a, b) => a + b, 0) || 1; // beyond the border nothing is read, as in Pillow
    return { first, weights: inside.map((weight) => weight / sum) };
  });
}

/**
 * A window of a picture {data, height, width} (RGBA bytes) at a size, by bicubic interpolation, as ImageData. Colours
 * count by their alpha, as in Pillow, so that what cannot be seen darkens no edge.
 */
export function bicubic({ data, height, width }, [top, left, bottom, right], [h, w]) {
  const weighted = data.map((value, i) => (i % 4 === 3 ? value : (value * data[i | 3]) / 255));
  const rows = taps(height, h, top, bottom),
    columns = taps(width, w, left, right);
  const across = new Uint8ClampedArray(height * w * 4); // rounded and clamped between the passes, as in Pillow
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < w; x++) {
      const { first, weights } = columns[x];
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        for (let k = 0; k < 4; k++) if (weights[k] !== 0) sum += weights[k] * weighted[(y * width + first + k) * 4 + c];
        across[(y * w + x) * 4 + c] = sum;
      }
    }
  }
  const made = new ImageData(w, h);
  for (let y = 0; y < h; y++) {
    const { first, weights } = rows[y];
    for (let i = 0; i < 4 * w; i++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) if (weights[k] !== 0) sum += weights[k] * across[(first + k) * 4 * w + i];
      made.data[y * 4 * w + i] = sum;
    }
  }
  for (let i = 0; i < made.data.length; i += 4) {
    const times = 255 / made.data[i + 3];
    for (let c = 0; times !== 1 && c < 3; c++) made.data[i + c] *= times;
  }
  return made;
}

/** The same window with every pixel as a square. */
export function squares({ data, height, width }, [top, left, bottom, right], [h, w]) {
  const made = new ImageData(w, h),
    from = new Uint32Array(data.buffer, data.byteOffset, height * width);
  const to = new Uint32Array(made.data.buffer);
  const index = (i, n, low, high, count) =>
    Math.min(count - 1, Math.floor((low + ((i + 0.5) / n) * (high - low)) * count));
  for (let y = 0; y < h; y++) {
    const row = index(y, h, top, bottom, height) * width;
    for (let x = 0; x < w; x++) to[y * w + x] = from[row + index(x, w, left, right, width)];
  }
  return made;
}
