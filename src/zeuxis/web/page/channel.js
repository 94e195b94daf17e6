// One socket for all requests. What a broken socket left unanswered is asked again as soon as there is another.

import { answer, frame, unframed } from "zeuxis/frames.js";

/** @typedef {import("zeuxis/frames.js").Answer} Answer */
/** @typedef {{head: object, payload: ArrayBufferView | null, each: (answer: Answer) => void,
 *   done: (answer: Answer) => void, failed: (error: Error) => void, tail: Promise<void>}} Waiting */

const AGAIN = 500; // ms until a broken socket is opened again
const EMPTY = { fields: {}, pictures: [], numbers: new Float32Array(), bytes: new Uint8Array() };

/** An error in words for the person at the page. */
export class Refused extends Error {}

/** Requests by id over a socket that comes back. */
export class Channel {
  /** @param {string} address
   * @param {(open: boolean, code: number) => void} changed is told of the socket's state, and why it was closed */
  constructor(address, changed) {
    this.address = address;
    this.changed = changed;
    this.last = 0;
    this.waiting = /** @type {Map<number, Waiting>} */ (new Map());
    this.connect();
  }

  connect() {
    const socket = (this.socket = new WebSocket(this.address));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.changed(true, 0);
      for (const [id, { head, payload }] of this.waiting) socket.send(frame(id, head, payload));
    };
    socket.onmessage = ({ data }) => this.received(unframed(data));
    socket.onclose = ({ code, reason }) => {
      this.changed(false, code);
      if (code === 1007) this.refuse(reason || "the server could not read a request of this page");
      setTimeout(() => this.connect(), AGAIN);
    };
  }

  /** What the server cannot read would close the next socket too, so it is not asked again.
   * @param {string} text */
  refuse(text) {
    for (const { failed } of this.waiting.values()) failed(new Refused(text));
    this.waiting.clear();
  }

  /** Answers of one request are told in their order, however long their pictures take to decode.
   * @param {import("zeuxis/frames.js").Frame} frame */
  received(frame) {
    const waiting = this.waiting.get(frame.id), { ok, done, error } = frame.head;
    if (!waiting) return;
    if (done) this.waiting.delete(frame.id);
    if (!ok) return waiting.failed(new Refused(error ?? "the server could not answer"));
    const decoded = answer(frame);
    waiting.tail = waiting.tail.then(async () => {
      const said = await decoded;
      waiting.each(said);
      if (done) waiting.done(said);
    }).catch(waiting.failed);
  }

  /** @param {object} head
   * @param {ArrayBufferView | null} [payload]
   * @param {(answer: Answer) => void} [each] is told of every answer
   * @returns {{id: number, answered: Promise<Answer>}} the last answer */
  send(head, payload = null, each = () => {}) {
    const id = ++this.last;
    const answered = /** @type {Promise<Answer>} */ (new Promise((done, failed) => {
      this.waiting.set(id, { head, payload, each, done, failed, tail: Promise.resolve() });
      if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(frame(id, head, payload));
    }));
    return { id, answered };
  }

  /** @param {number} id */
  asks(id) {
    return this.waiting.has(id);
  }

  /** A stream that nobody looks at any more; its promise ends with an empty answer.
   * @param {number} id */
  forget(id) {
    this.waiting.get(id)?.done(EMPTY);
    this.waiting.delete(id);
  }
}
