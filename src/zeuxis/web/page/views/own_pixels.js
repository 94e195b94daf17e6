// Pictures as the pixels that a model takes: of a canvas, or of a file of the person's own.

/** The middle square of a file, at the model's size.
 * @param {Blob} file
 * @param {number} size
 * @param {number} channels 1: grey, 3: RGB */
export async function pixelsOfFile(file, size, channels) {
  const bitmap = await createImageBitmap(file), side = Math.min(bitmap.width, bitmap.height);
  const context = new OffscreenCanvas(size, size).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("this browser has no 2-d canvas beside the page");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, size, size);
  bitmap.close();
  const { data } = context.getImageData(0, 0, size, size), out = new Uint8Array(size * size * channels);
  for (let i = 0; i < size * size; i++) {
    const [red, green, blue, alpha] = data.subarray(4 * i, 4 * i + 4);
    if (channels === 1) out[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else out.set([red, green, blue, alpha].slice(0, channels), i * channels);
  }
  return out;
}

/** The pixels of a picture, without the alpha that a canvas adds.
 * @param {ImageData} image
 * @param {number} channels */
export function pixelsOf({ data }, channels) {
  const count = data.length / 4, out = new Uint8Array(count * channels);
  for (let i = 0; i < count; i++) for (let c = 0; c < channels; c++) out[i * channels + c] = data[4 * i + c];
  return out;
}
