// The pad: strokes have exact colours, fills stop at borders, and a link gives strokes back as they were.
import assert from "node:assert/strict";
import test from "node:test";

import { wordFor } from "zeuxis/colours.js";
import { paint } from "zeuxis/pad.js";
import { packedStrokes, unpackedStrokes } from "zeuxis/strokes.js";

const SIZE = 16;
const plain = (size = SIZE) => ({ width: size, height: size, data: new Uint8ClampedArray(4 * size * size).fill(255) });
const stroke = (tool, width, ...points) => ({ tool, colour: [200, 30, 10], width, points });
const painted = ({ data }) => Array.from({ length: data.length / 4 }, (_, i) => i).filter((i) => data[4 * i] === 200 && data[4 * i + 1] === 30 && data[4 * i + 2] === 10);

test("a dot of each width has about the area of its disc, and no other colour comes up", () => {
  for (let width = 1; width <= 9; width++) {
    const image = plain();
    paint(image, stroke("brush", width, 8, 8), 0);
    const count = painted(image).length;
    assert.ok(Math.abs(count - Math.PI * (width / 2) ** 2) <= Math.max(1, 0.3 * count), `${width}: ${count}`);
    assert.equal(new Set(new Uint32Array(image.data.buffer)).size, 2);
  }
});

test("a line has no gap, in one stroke or in parts", () => {
  const whole = plain(), parts = plain(), line = stroke("brush", 1, 1, 2, 14, 9, 3, 15);
  paint(whole, line, 0);
  paint(parts, stroke("brush", 1, 1, 2), 0);
  paint(parts, stroke("brush", 1, 1, 2, 14, 9), 0);
  paint(parts, line, 2);
  assert.deepEqual(whole.data, parts.data);
  for (let x = 1; x <= 14; x++) assert.ok(painted(whole).some((i) => i % SIZE === x));
});

test("strokes beyond the pad stay on it", () => {
  const image = plain();
  paint(image, stroke("brush", 9, 0, 0, 15, 15), 0);
  assert.ok(painted(image).includes(0) && painted(image).includes(SIZE * SIZE - 1));
  assert.ok(!painted(image).includes(SIZE - 1));
});

test("a fill stops at a border, and one of the same colour ends", () => {
  const image = plain();
  paint(image, { ...stroke("brush", 1, 0, 6, 15, 6), colour: [0, 0, 0] }, 0);
  paint(image, stroke("fill", 1, 3, 3), 0);
  assert.equal(painted(image).length, 6 * SIZE);
  paint(image, stroke("fill", 1, 3, 3), 0);
  assert.equal(painted(image).length, 6 * SIZE);
});

test("a link gives strokes back, and leaves out what is none", () => {
  const strokes = [stroke("brush", 3, 1, 2, 3, 4), stroke("fill", 1, 5, 6)];
  assert.deepEqual(unpackedStrokes(JSON.parse(JSON.stringify(packedStrokes(strokes))), SIZE), strokes);
  const wrong = [null, 3, [], "brush", [0, 1, 2, 3, 4], [2, 1, 2, 3, 4, 5, 6], [0, 256, 2, 3, 4, 5, 6], [0, 1, 2, 3, 0, 5, 6], [0, 1, 2, 3, 99, 5, 6],
    [0, 1, 2, 3, 4, 16, 6], [0, 1, 2, 3, 4, 5.5, 6], [0, 1, 2, 3, 4, -5, 6], [0, 1, 2, 3, 4, 5, null], [0, 1, 2, 3, 4, 5, 6, 7]];
  assert.deepEqual(unpackedStrokes(wrong, SIZE), []);
  for (const other of [undefined, null, {}, "x", 7]) assert.deepEqual(unpackedStrokes(other, SIZE), []);
  assert.equal(unpackedStrokes(Array(1000).fill([0, 1, 2, 3, 4, 5, 6]), SIZE).length, 400);
});

test("colours have words", () => {
  assert.deepEqual([[0, 0, 0], [255, 255, 255], [220, 40, 40], [30, 80, 40], [110, 200, 255]].map(wordFor), ["black", "white", "red", "dark green", "light blue"]);
});
