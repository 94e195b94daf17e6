// Animations made in the browser: WebP from its own still pictures, put into one file; MP4 by its recorder.

/** @typedef {{tag: string, start: number, end: number}} Chunk */

const VIDEO_KINDS = ["video/mp4;codecs=avc1.42E01E", "video/mp4", "video/webm;codecs=vp9", "video/webm"];
const LEAST_SIDE = 256; // pixels of an animation; smaller pictures are drawn larger by a whole factor

/** A canvas that draws pictures, small ones larger by a whole factor.
 * @param {number} width
 * @param {number} height */
export function stage(width, height) {
  const factor = Math.max(1, Math.round(LEAST_SIDE / Math.max(width, height)));
  const canvas = Object.assign(document.createElement("canvas"), { width: width * factor, height: height * factor });
  const small = Object.assign(document.createElement("canvas"), { width, height });
  const [context, plain] = [canvas, small].map((each) => /** @type {CanvasRenderingContext2D} */ (each.getContext("2d")));
  context.imageSmoothingEnabled = false;
  return {
    canvas,
    /** @param {ImageData} image */
    draw(image) {
      plain.putImageData(image, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
    },
  };
}

/** An endless WebP animation of pictures.
 * @param {ImageData[]} images
 * @param {number} fps
 * @returns {Promise<Blob>} */
export async function webp(images, fps) {
  const { canvas, draw } = stage(images[0].width, images[0].height), stills = [];
  for (const image of images) {
    draw(image);
    const blob = /** @type {Blob | null} */ (await new Promise((done) => canvas.toBlob(done, "image/webp", 0.9)));
    if (blob?.type !== "image/webp") throw new Error("this browser writes no WebP; save a video instead");
    stills.push(new Uint8Array(await blob.arrayBuffer()));
  }
  return new Blob([animated(stills, canvas.width, canvas.height, Math.round(1000 / fps))], { type: "image/webp" });
}

/** One animated WebP file of still ones (RIFF: VP8X, ANIM, and an ANMF for each frame).
 * @param {Uint8Array[]} stills
 * @param {number} width
 * @param {number} height
 * @param {number} duration of a frame in ms */
export function animated(stills, width, height, duration) {
  const clear = stills.some((still) => chunks(still).some(({ tag }) => tag === "ALPH" || tag === "VP8L"));
  const head = [clear ? 0x12 : 0x02, 0, 0, 0, ...three(width - 1), ...three(height - 1)];
  const frames = stills.map((still) => {
    const kept = chunks(still).filter(({ tag }) => ["ALPH", "VP8 ", "VP8L"].includes(tag)).map(({ start, end }) => still.subarray(start, end));
    return chunk("ANMF", [...three(0), ...three(0), ...three(width - 1), ...three(height - 1), ...three(duration), 0x02], ...kept);
  });
  const parts = [text("WEBP"), chunk("VP8X", head), chunk("ANIM", [0, 0, 0, 0, 0, 0]), ...frames];
  return chunk("RIFF", [], ...parts);
}

/** The chunks of a RIFF file.
 * @param {Uint8Array} file
 * @returns {Chunk[]} */
export function chunks(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength), found = [];
  for (let start = 12; start + 8 <= file.length; ) {
    const size = view.getUint32(start + 4, true), end = start + 8 + size + (size % 2);
    found.push({ tag: String.fromCharCode(...file.subarray(start, start + 4)), start, end });
    start = end;
  }
  return found;
}

/** @param {string} tag
 * @param {number[]} bytes
 * @param {Uint8Array[]} parts */
function chunk(tag, bytes, ...parts) {
  const size = bytes.length + parts.reduce((sum, part) => sum + part.length, 0), out = new Uint8Array(8 + size + (size % 2));
  out.set(text(tag));
  new DataView(out.buffer).setUint32(4, size, true);
  out.set(bytes, 8);
  let at = 8 + bytes.length;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** @param {string} letters */
const text = (letters) => Uint8Array.from(letters, (letter) => letter.charCodeAt(0));

/** @param {number} value in 24 bits */
const three = (value) => [value & 255, (value >> 8) & 255, (value >> 16) & 255];

/** A video of pictures, recorded as it plays; MP4 where the browser can, else WebM.
 * @param {ImageData[]} images
 * @param {number} fps
 * @returns {Promise<{blob: Blob, ending: string}>} */
export async function video(images, fps) {
  const kind = globalThis.MediaRecorder && VIDEO_KINDS.find((one) => MediaRecorder.isTypeSupported(one));
  if (!kind) throw new Error("this browser records no video; save a WebP instead");
  const { canvas, draw } = stage(images[0].width, images[0].height), parts = /** @type {Blob[]} */ ([]);
  draw(images[0]);
  const recorder = new MediaRecorder(canvas.captureStream(fps), { mimeType: kind, videoBitsPerSecond: 8e6 });
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((done) => (recorder.onstop = done));
  recorder.start();
  for (const image of images) {
    draw(image);
    await new Promise((go) => setTimeout(go, 1000 / fps));
  }
  recorder.stop();
  await ended;
  return { blob: new Blob(parts, { type: kind.split(";")[0] }), ending: kind.includes("mp4") ? "mp4" : "webm" };
}
