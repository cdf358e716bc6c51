// Run with: node --test tests/site/js

import assert from "node:assert/strict";
import { test } from "node:test";

import * as pixels from "../../../docs/demo/pixels.js";

const grey = (width, height, values) => ({ data: Uint8Array.from(values.flatMap((v) => [v, v, v])), width, height });
const mask = (width, height, values) => ({ data: Uint8Array.from(values), width, height });
const reds = (photo) => [...photo.data].filter((_, i) => i % 3 === 0);

test("a photo made smaller is averaged", () => {
  assert.deepEqual(reds(pixels.resize(grey(4, 2, [0, 100, 7, 9, 0, 100, 7, 9]), 2, 1)), [50, 8]);
});

test("a photo made larger is interpolated between pixel centres", () => {
  assert.deepEqual(reds(pixels.resize(grey(2, 1, [0, 100]), 4, 1)), [0, 25, 75, 100]);
});

test("colours stay apart, and width and height are not mixed up", () => {
  const photo = { data: Uint8Array.of(1, 2, 3, 9, 8, 7), width: 1, height: 2 };
  assert.deepEqual(pixels.resize(photo, 1, 2), photo);
  assert.deepEqual([...pixels.toPlanes({ ...photo, data: photo.data.map((v) => v * 0 + 255) })], Array(6).fill(1));
  assert.deepEqual([...pixels.toPlanes(photo)].map((v) => Math.round(v * 255)), [1, 9, 2, 8, 3, 7]);
});

test("logits are interpolated with centres in place, edges repeated", () => {
  const up = pixels.upsample({ data: Float32Array.of(-2, 2), width: 2, height: 1 }, 4, 2);
  assert.deepEqual([...up.data], [-2, -1, 1, 2, -2, -1, 1, 2]);
  const down = pixels.upsample({ data: Float32Array.of(1, 2, 3, 4, 5, 6), width: 6, height: 1 }, 2, 1);
  assert.deepEqual([...down.data], [2, 5]);
});

test("certain probabilities have finite logits, and the order is kept", () => {
  const logits = pixels.toLogits(Float32Array.of(0, 0.25, 0.5, 1));
  assert.ok(logits.every(Number.isFinite));
  assert.ok(logits[0] < logits[1] && logits[1] < 0 && logits[2] === 0 && logits[3] > 15);
});

test("a threshold of 0 takes everything, of 1 nothing", () => {
  const logits = { data: Float32Array.of(-16, 0, 16), width: 3, height: 1 };
  const count = (threshold) => pixels.share(pixels.cut(logits, threshold)) * 3;
  assert.deepEqual([0, 0.4, 0.5, 1].map(count), [3, 2, 1, 0]);
});

test("scores by hand", () => {
  const truth = mask(3, 2, [1, 1, 1, 0, 0, 0]);
  const found = mask(3, 2, [1, 1, 0, 1, 0, 0]);
  assert.deepEqual(pixels.score(found, truth), { dice: 4 / 6, accuracy: 1 - 2 / 6, missed: 1, extra: 1 });
  const empty = mask(3, 2, [0, 0, 0, 0, 0, 0]);
  assert.equal(pixels.score(empty, empty).dice, 1);
  assert.equal(pixels.score(empty, truth).dice, 0);
});

test("the outline is orange, the inside tinted, the rest untouched", () => {
  const photo = grey(5, 5, Array(25).fill(200));
  const block = mask(5, 5, Array.from({ length: 25 }, (_, p) => Number(p % 5 > 0 && p % 5 < 4 && p > 4 && p < 20)));
  const { data } = pixels.overlay(photo, block, 0.5);
  const at = (x, y) => [...data.slice((y * 5 + x) * 4, (y * 5 + x) * 4 + 4)];
  assert.deepEqual(at(0, 0), [200, 200, 200, 255]);
  assert.deepEqual(at(1, 1), [...pixels.ORANGE, 255]);
  assert.deepEqual(at(2, 2), [100, 157, 189, 255]);
});

test("a mask that reaches the photo's edge has no outline there", () => {
  assert.deepEqual([...pixels.erode(mask(3, 3, Array(9).fill(1)), 2).data], Array(9).fill(1));
  assert.deepEqual([...pixels.erode(mask(4, 1, [0, 1, 1, 1]), 1).data], [0, 0, 1, 1]);
});

test("missed car is blue, extra car orange", () => {
  const { data } = pixels.errorMap(grey(3, 1, [100, 100, 100]), mask(3, 1, [0, 1, 1]), mask(3, 1, [1, 0, 1]));
  assert.deepEqual([...data], [...pixels.BLUE, 255, ...pixels.ORANGE, 255, 146, 146, 146, 255]);
});

test("the cut-out is transparent outside the mask", () => {
  const { data } = pixels.cutOut(grey(2, 1, [7, 8]), mask(2, 1, [1, 0]));
  assert.deepEqual([...data], [7, 7, 7, 255, 8, 8, 8, 0]);
});

test("a photo is fitted, never enlarged, never empty", () => {
  assert.deepEqual(pixels.fit({ width: 4000, height: 3000 }, 960), [960, 720]);
  assert.deepEqual(pixels.fit({ width: 480, height: 320 }, 960), [480, 320]);
  assert.deepEqual(pixels.fit({ width: 9000, height: 2 }, 960), [960, 1]);
});
