// The socket: frames both ways, lanes in which the newest wins, streams, and what a broken socket left unanswered.
import assert from "node:assert/strict";
import test from "node:test";

import { Channel } from "zeuxis/channel.js";
import { answer, frame, unframed } from "zeuxis/frames.js";
import { Newest } from "zeuxis/lanes.js";

globalThis.ImageData = class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
};

class FakeSocket {
  static OPEN = 1;
  static made = [];
  constructor(address) {
    Object.assign(this, { address, readyState: 0, sent: [] });
    FakeSocket.made.push(this);
  }
  open() { this.readyState = 1; this.onopen(); }
  close(code = 1006) { this.readyState = 3; this.onclose({ code, reason: "" }); }
  send(message) { this.sent.push(unframed(message)); }
  tell(id, head, payload) { this.onmessage({ data: frame(id, head, payload) }); }
}
globalThis.WebSocket = FakeSocket;

const channel = () => {
  const made = new Channel("ws://here", () => {});
  return [made, FakeSocket.made.at(-1)];
};

test("a frame comes back as it was, its payload at a multiple of four", () => {
  for (const text of ["", "a", "ab", "é猫"]) {
    const message = frame(7, { op: "decode", text }, Float32Array.of(1, 2)), back = unframed(message);
    assert.deepEqual([back.id, back.head], [7, { op: "decode", text }]);
    assert.equal(back.payload.byteOffset % 4, 0);
    assert.deepEqual(new Float32Array(back.payload.buffer, back.payload.byteOffset, 2), Float32Array.of(1, 2));
  }
});

test("pictures of one, three and four channels, and the numbers behind them", async () => {
  for (const [c, bytes, pixel] of [[1, [9], [9, 9, 9, 255]], [3, [1, 2, 3], [1, 2, 3, 255]], [4, [1, 2, 3, 4], [1, 2, 3, 4]]]) {
    const payload = new Uint8Array(8);
    payload.set(bytes);
    payload.set(new Uint8Array(Float32Array.of(5).buffer), 4);
    const head = { ok: true, done: true, extra: 1, pictures: { n: 1, h: 1, w: 1, c, coding: "raw" }, numbers: { shape: [1] } };
    const said = await answer(unframed(frame(1, head, payload)));
    assert.deepEqual([[...said.pictures[0].data], [...said.numbers], said.fields.extra], [pixel, [5], 1]);
  }
});

test("in a lane the newest wins, and those between get null", async () => {
  const queue = new Newest(), lane = (run) => queue.do(run), began = [], ends = [];
  const job = (name) => () => new Promise((done) => { began.push(name); ends.push(() => done(name)); });
  const results = [lane(job("a")), lane(job("b")), lane(job("c"))];
  ends[0]();
  assert.equal(await results[0], "a");
  assert.equal(await results[1], null);
  await new Promise(setImmediate);
  ends[1]();
  assert.equal(await results[2], "c");
  assert.deepEqual(began, ["a", "c"]);
});

test("a lane goes on after an error", async () => {
  const queue = new Newest(), lane = (run) => queue.do(run);
  await assert.rejects(lane(() => Promise.reject(new Error("broken"))), /broken/);
  assert.equal(await lane(async () => 5), 5);
});

test("requests wait for the socket, and are asked again after it broke", async () => {
  const [made, first] = channel(), { id, answered } = made.send({ op: "decode" });
  assert.equal(first.sent.length, 0);
  first.open();
  assert.deepEqual(first.sent.map((each) => each.id), [id]);
  first.close();
  while (FakeSocket.made.at(-1) === first) await new Promise((go) => setTimeout(go, 20));
  const second = FakeSocket.made.at(-1);
  second.open();
  assert.deepEqual(second.sent.map((each) => each.id), [id]);
  second.tell(id, { ok: true, done: true, found: 3 });
  assert.equal((await answered).fields.found, 3);
});

test("a stream tells each answer in its order; forgotten, it ends and is told no more", async () => {
  const [made, socket] = channel(), told = [];
  socket.open();
  const { id, answered } = made.send({ op: "denoise" }, null, ({ fields }) => told.push(fields.level));
  for (const level of [3, 2]) socket.tell(id, { ok: true, done: false, level });
  while (told.length < 2) await new Promise(setImmediate);
  made.forget(id);
  socket.tell(id, { ok: true, done: true, level: 1 });
  await answered;
  assert.deepEqual(told, [3, 2]);
});

test("an error in words reaches the one who asked; what the server cannot read is not asked again", async () => {
  const [made, socket] = channel();
  socket.open();
  const { id, answered } = made.send({ op: "decode" });
  socket.tell(id, { ok: false, done: true, error: "no such picture" });
  await assert.rejects(answered, /no such picture/);
  const second = made.send({ op: "decode" });
  socket.close(1007);
  await assert.rejects(second.answered, /could not read/);
  while (FakeSocket.made.at(-1) === socket) await new Promise((go) => setTimeout(go, 20));
  FakeSocket.made.at(-1).open();
  assert.deepEqual(FakeSocket.made.at(-1).sent, []);
});
