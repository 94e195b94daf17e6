// The frames of the socket, both ways: u32 id, u32 J, J bytes of JSON, payload; little endian.

/** @typedef {{n: number, h: number, w: number, c: number, coding: "raw" | "jpeg"}} Pictures */
/** @typedef {{ok: boolean, done: boolean, error?: string, pictures?: Pictures, lengths?: number[],
 *   numbers?: {shape: number[]}} & Record<string, any>} Head */
/** @typedef {{id: number, head: Head, payload: Uint8Array<ArrayBuffer>}} Frame */
/** @typedef {{fields: Record<string, any>, pictures: ImageData[], numbers: Float32Array, bytes: Uint8Array}} Answer */

/** @param {number} id
 * @param {object} head
 * @param {ArrayBufferView | null} [payload]
 * @returns {ArrayBuffer} */
export function frame(id, head, payload) {
  const text = new TextEncoder().encode(JSON.stringify(head)), length = Math.ceil(text.length / 4) * 4;
  const bytes = new Uint8Array(8 + length + (payload?.byteLength ?? 0));
  const sizes = new DataView(bytes.buffer);
  sizes.setUint32(0, id, true);
  sizes.setUint32(4, length, true);
  bytes.fill(32, 8, 8 + length).set(text, 8);
  if (payload) bytes.set(new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength), 8 + length);
  return bytes.buffer;
}

/** @param {ArrayBuffer} message
 * @returns {Frame} */
export function unframed(message) {
  const sizes = new DataView(message), length = sizes.getUint32(4, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 8, length)));
  return { id: sizes.getUint32(0, true), head, payload: new Uint8Array(message, 8 + length) };
}

/** What a frame says: pictures first, then numbers, which begin at a multiple of four.
 * @param {Frame} received
 * @returns {Promise<Answer>} */
export async function answer({ head, payload }) {
  const { pictures, lengths, numbers, ...fields } = head;
  let used = 0, shown = /** @type {ImageData[]} */ ([]);
  if (pictures?.coding === "jpeg") {
    const parts = (lengths ?? []).map((length) => payload.subarray(used, (used += length)));
    shown = await Promise.all(parts.map(fromJpeg));
  } else if (pictures) {
    used = pictures.n * pictures.h * pictures.w * pictures.c;
    shown = fromRaw(payload, pictures);
  }
  const start = payload.byteOffset + Math.ceil(used / 4) * 4, count = (numbers?.shape ?? [0]).reduce((a, b) => a * b, 1);
  return { fields, pictures: shown, numbers: new Float32Array(payload.buffer.slice(start, start + 4 * count)), bytes: payload };
}

/** @param {Uint8Array} bytes
 * @param {Pictures} form grey, RGB or RGBA by its channels
 * @returns {ImageData[]} */
export function fromRaw(bytes, { n, h, w, c }) {
  return Array.from({ length: n }, (_, k) => {
    const image = new ImageData(w, h), out = new Uint32Array(image.data.buffer);
    let at = k * w * h * c;
    for (let i = 0; i < out.length; i++, at += c) {
      const alpha = c === 4 ? bytes[at + 3] : 255, green = bytes[at + (c > 2 ? 1 : 0)], blue = bytes[at + (c > 2 ? 2 : 0)];
      out[i] = (alpha << 24) | (blue << 16) | (green << 8) | bytes[at];
    }
    return image;
  });
}

/** @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<ImageData>} */
async function fromJpeg(bytes) {
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  if (!context) throw new Error("this browser has no 2-d canvas beside the page");
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height);
}
