// What happens to pixels, as pure functions: no page, no network. Each does what its namesake in
// carvana_lib does, so that browser and Python agree; tests/site/js compares them.
//
// Photos are {data, width, height} with 3 bytes a pixel (red, green, blue), masks {data, width, height}
// with 0 or 1 a pixel, logits the same with a float a pixel.

export const BLUE = [0, 114, 178];
export const ORANGE = [230, 159, 0]; // with BLUE, Okabe and Ito's: safe for colour-blind eyes

const FRACTION_BITS = 22;

/** For each pixel of the new side: which old pixels it is made of, and their weights as whole numbers. */
function resamplingWeights(from, to, smaller) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = (smaller ? 0.5 : 1) * stretch;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const raw = [];
    for (let x = first; x < last; x++) {
      const distance = (x - centre + 0.5) * (1 / stretch);
      raw.push(smaller ? Number(distance > -0.5 && distance <= 0.5) : Math.max(0, 1 - Math.abs(distance)));
    }
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, weights: Int32Array.from(raw, (w) => Math.trunc(0.5 + (w / sum) * 2 ** FRACTION_BITS)) };
  });
}

function resampleRows({ data, width, height }, to, smaller) {
  const plan = resamplingWeights(width, to, smaller);
  const out = new Uint8Array(to * height * 3);
  const half = 1 << (FRACTION_BITS - 1);
  for (let y = 0, o = 0; y < height; y++) {
    for (const { first, weights } of plan) {
      let red = half, green = half, blue = half;
      for (let k = 0, i = (y * width + first) * 3; k < weights.length; k++, i += 3) {
        red += data[i] * weights[k];
        green += data[i + 1] * weights[k];
        blue += data[i + 2] * weights[k];
      }
      out[o++] = Math.min(255, red >> FRACTION_BITS);
      out[o++] = Math.min(255, green >> FRACTION_BITS);
      out[o++] = Math.min(255, blue >> FRACTION_BITS);
    }
  }
  return { data: out, width: to, height };
}

function transpose({ data, width, height }) {
  const out = new Uint8Array(data.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 3) {
      const o = (x * height + y) * 3;
      out[o] = data[i];
      out[o + 1] = data[i + 1];
      out[o + 2] = data[i + 2];
    }
  }
  return { data: out, width: height, height: width };
}

/** The photo at another size, as carvana_lib.images.resize (Pillow) makes it: averaged when it gets smaller,
 *  interpolated when larger. Bytes differ by 1 at most, where Pillow takes height before width. */
export function resize(photo, width, height) {
  const smaller = width <= photo.width && height <= photo.height;
  let out = photo;
  if (out.width !== width) out = resampleRows(out, width, smaller);
  if (out.height !== height) out = transpose(resampleRows(transpose(out), height, smaller));
  return out;
}

/** Bytes with alpha, as a canvas gives them, as a photo; alpha is dropped. */
export function fromCanvas({ data, width, height }) {
  const out = new Uint8Array(width * height * 3);
  for (let i = 0, o = 0; i < data.length; i += 4) {
    out[o++] = data[i];
    out[o++] = data[i + 1];
    out[o++] = data[i + 2];
  }
  return { data: out, width, height };
}

/** What the net reads: all red values, then green, then blue, each from 0 to 1. */
export function toPlanes({ data, width, height }) {
  const size = width * height;
  const out = new Float32Array(3 * size);
  for (let i = 0, o = 0; o < size; o++) {
    for (let colour = 0; colour < 3; colour++) out[colour * size + o] = data[i++] / 255;
  }
  return out;
}

/** Logits of probabilities; 0 and 1 are moved inwards as far as a 32-bit float can tell. */
export function toLogits(probabilities) {
  return Float32Array.from(probabilities, (p) => logit(Math.min(Math.max(p, 6e-8), 1 - 6e-8)));
}

export const logit = (p) => Math.log(p / (1 - p));

/** Logits at another size: bilinear, pixel centres kept in place, as carvana_lib.prediction.upsample. */
export function upsample(logits, width, height) {
  const columns = positions(logits.width, width);
  const rows = positions(logits.height, height);
  const out = new Float32Array(width * height);
  let o = 0;
  for (const [y0, y1, dy] of rows) {
    const above = y0 * logits.width, below = y1 * logits.width;
    for (const [x0, x1, dx] of columns) {
      const top = logits.data[above + x0] * (1 - dx) + logits.data[above + x1] * dx;
      const bottom = logits.data[below + x0] * (1 - dx) + logits.data[below + x1] * dx;
      out[o++] = top * (1 - dy) + bottom * dy;
    }
  }
  return { data: out, width, height };
}

/** For each new pixel the two old ones it lies between, and how far it is on the way to the second. */
function positions(from, to) {
  return Array.from({ length: to }, (_, i) => {
    const x = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    const first = Math.min(Math.trunc(x), from - 1);
    return [first, Math.min(first + 1, from - 1), x - first];
  });
}

/** The mask: where the probability is above the threshold. */
export function cut(logits, threshold) {
  const least = logit(threshold);
  const data = new Uint8Array(logits.data.length);
  for (let i = 0; i < data.length; i++) data[i] = logits.data[i] > least;
  return { ...logits, data };
}

/** Dice, accuracy, and the numbers of missed and extra pixels, of a mask against the true one. */
export function score(mask, truth) {
  let both = 0, missed = 0, extra = 0;
  for (let i = 0; i < mask.data.length; i++) {
    if (mask.data[i] && truth.data[i]) both++;
    else if (mask.data[i]) extra++;
    else if (truth.data[i]) missed++;
  }
  const all = 2 * both + missed + extra;
  return { dice: all ? (2 * both) / all : 1, accuracy: 1 - (missed + extra) / mask.data.length, missed, extra };
}

/** The share of the photo that the mask covers. */
export const share = (mask) => mask.data.reduce((a, b) => a + b, 0) / mask.data.length;

/** Photo with the mask tinted blue and outlined in orange, as bytes with alpha for a canvas. */
export function overlay(photo, mask, opacity) {
  const { width, height } = photo;
  const inside = erode(mask, Math.max(1, Math.round(width / 480)));
  const out = new Uint8ClampedArray(width * height * 4);
  for (let p = 0, i = 0, o = 0; p < mask.data.length; p++, i += 3, o += 4) {
    const edge = mask.data[p] && !inside.data[p];
    const colour = edge ? ORANGE : BLUE;
    const weight = edge ? 1 : mask.data[p] ? opacity : 0;
    for (let c = 0; c < 3; c++) out[o + c] = (1 - weight) * photo.data[i + c] + weight * colour[c];
    out[o + 3] = 255;
  }
  return { data: out, width, height };
}

/** The mask without the pixels that touch background within `steps` moves up, down, left or right. */
export function erode(mask, steps) {
  const { width, height } = mask;
  let data = mask.data;
  for (let step = 0; step < steps; step++) {
    const next = Uint8Array.from(data);
    for (let y = 0, p = 0; y < height; y++) {
      for (let x = 0; x < width; x++, p++) {
        if (!data[p]) continue;
        const touches =
          (x > 0 && !data[p - 1]) || (x < width - 1 && !data[p + 1]) ||
          (y > 0 && !data[p - width]) || (y < height - 1 && !data[p + width]);
        if (touches) next[p] = 0;
      }
    }
    data = next;
  }
  return { data, width, height };
}

/** Grey photo: car pixels that were missed in blue, background taken for car in orange. */
export function errorMap(photo, mask, truth) {
  const out = new Uint8ClampedArray(photo.width * photo.height * 4);
  for (let p = 0, i = 0, o = 0; p < mask.data.length; p++, i += 3, o += 4) {
    const grey = Math.trunc((photo.data[i] + photo.data[i + 1] + photo.data[i + 2]) / 6) + 96;
    const colour = mask.data[p] === truth.data[p] ? [grey, grey, grey] : mask.data[p] ? ORANGE : BLUE;
    out.set(colour, o);
    out[o + 3] = 255;
  }
  return { data: out, width: photo.width, height: photo.height };
}

/** The car on nothing: transparent outside the mask. */
export function cutOut(photo, mask) {
  const out = new Uint8ClampedArray(photo.width * photo.height * 4);
  for (let p = 0, i = 0, o = 0; p < mask.data.length; p++, i += 3, o += 4) {
    for (let c = 0; c < 3; c++) out[o + c] = photo.data[i + c];
    out[o + 3] = mask.data[p] * 255;
  }
  return { data: out, width: photo.width, height: photo.height };
}

/** The largest size of at most `longest` pixels a side with the photo's proportions. */
export function fit({ width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}
