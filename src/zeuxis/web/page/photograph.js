// A person's own photograph: chosen, dropped or pasted, and held by the server as long as the socket is open.

import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/engine.js").Lane} Lane */

const MOST = 32 * 2 ** 20; // bytes of a file

/** What the server has read of a file; it keeps the pixels, and the page keeps the file for a server that comes back. */
export class Photograph {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.lane = page.engine.lane("photo");
    this.file = /** @type {Blob | null} */ (null);
    this.name = "photograph";
    this.id = 0; // of what this socket's server holds
    this.width = this.height = 0;
    this.preview = /** @type {ImageData | null} */ (null);
    page.engine.heard.addEventListener("closed", () => (this.id = 0));
  }

  /** Send a file to the server; false where a newer one has taken its place, or it cannot be used.
   * @param {Blob} file */
  async open(file) {
    if (file.size > MOST) return this.refused(`The file has ${Math.ceil(file.size / 2 ** 20)} MB; at most 32 MB are taken.`);
    try {
      const told = await this.lane.ask("photo.open", {}, new Uint8Array(await file.arrayBuffer()));
      if (!told) return false;
      this.page.trouble("");
      this.file = file;
      this.name = file instanceof File && file.name ? file.name.replace(/\.[^.]*$/, "").slice(0, 40) : "photograph";
      ({ photo: this.id, width: this.width, height: this.height } = told.fields);
      this.preview = told.pictures[0];
      return true;
    } catch (error) {
      return this.refused(/** @type {Error} */ (error).message);
    }
  }

  /** @param {string} text */
  refused(text) {
    this.page.trouble(text[0].toUpperCase() + text.slice(1));
    return false;
  }

  /** The id of the photograph; a server that came back is sent it again. */
  async held() {
    if (!this.id && this.file) await this.open(this.file);
    return this.id;
  }
}

/** Where a picture is chosen, dropped or pasted: all of the view takes one.
 * @param {HTMLElement} root of the view
 * @param {string} text
 * @param {(file: Blob) => void} taken
 * @returns {HTMLElement} */
export function picker(root, text, taken) {
  const input = make("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/gif,image/bmp,image/tiff,.tif", hidden: true });
  const button = make("button", { textContent: "Choose a picture", className: "outlined" });
  button.onclick = () => input.click();
  input.onchange = () => {
    const [file] = input.files ?? [];
    if (file) taken(file);
    input.value = ""; // so that the same file can be chosen again
  };
  const box = make("div", { className: "picker" }, button, input, make("span", { className: "hint", textContent: text }));
  dropped(root, box, taken);
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (!file || root.hidden) return;
    event.preventDefault();
    taken(file);
  });
  return box;
}

/** @param {HTMLElement} root
 * @param {HTMLElement} box that is marked
 * @param {(file: Blob) => void} taken */
function dropped(root, box, taken) {
  root.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    box.classList.add("over");
  });
  root.addEventListener("dragleave", (event) => {
    if (!root.contains(/** @type {Node | null} */ (event.relatedTarget))) box.classList.remove("over");
  });
  root.addEventListener("drop", (event) => {
    box.classList.remove("over");
    const file = pictureIn(event.dataTransfer);
    if (!file) return;
    event.preventDefault();
    taken(file);
  });
}

/** The first file of what is dropped or pasted. The server says whether it is a picture.
 * @param {DataTransfer | null} given */
function pictureIn(given) {
  return given?.files[0] ?? null;
}
