// A loop through the ends of an interpolation, played in a dialog and saved as WebP or video.

import { video, webp } from "zeuxis/animation.js";
import { mostAtOnce } from "zeuxis/decoding.js";
import { loop } from "zeuxis/latent.js";
import { make, save, show } from "zeuxis/pictures.js";
import { joined } from "zeuxis/space.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */

const FPS = 20;
const FRAMES = 30; // from one end to the next
const FRAMES_ROUGH = 8; // where a picture takes many evaluations

/** Play a loop through pictures until the dialog is closed.
 * @param {Page} page
 * @param {Recipe[]} ends */
export function play(page, ends) {
  const canvas = make("canvas", { className: "stage", role: "img", "aria-label": "The animation" }), state = make("p", { className: "hint" });
  const pause = make("button", { textContent: "Pause" }), saves = ["Save WebP", "Save MP4"].map((textContent) => make("button", { textContent, disabled: true }));
  const close = make("button", { textContent: "Close" });
  const dialog = make("dialog", { className: "player", "aria-label": "Interpolation, played" },
    make("div", { className: "bar" }, pause, ...saves, make("span", { className: "push" }), close), canvas, state);
  document.body.append(dialog);
  const reel = new Reel(page, ends, canvas, state);
  close.onclick = () => dialog.close();
  pause.onclick = () => {
    reel.paused = !reel.paused;
    pause.textContent = reel.paused ? "Play" : "Pause";
  };
  saves.forEach((button, i) => (button.onclick = () => reel.save(i ? "video" : "webp", saves)));
  dialog.onclose = () => {
    reel.ended = true;
    dialog.remove();
  };
  dialog.showModal();
  reel.paused = matchMedia("(prefers-reduced-motion: reduce)").matches;
  pause.textContent = reel.paused ? "Play" : "Pause";
  reel.run().then(() => saves.forEach((button) => (button.disabled = false)), (error) => page.trouble(error.message));
}

/** The frames of a loop, drawn as they come. */
class Reel {
  /** @param {Page} page
   * @param {Recipe[]} ends
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} state */
  constructor(page, ends, canvas, state) {
    this.page = page;
    this.ends = ends;
    this.canvas = canvas;
    this.state = state;
    this.frames = /** @type {ImageData[]} */ ([]);
    this.paused = this.ended = false;
    this.at = 0;
  }

  async run() {
    const { page, ends } = this, { space } = page;
    if (!space) return;
    const keys = await Promise.all(ends.map((end) => space.of(end)));
    const all = loop(keys, ends.length * (page.rough ? FRAMES_ROUGH : FRAMES), space.mixture), most = page.rough ? 1 : mostAtOnce(space.size);
    this.tick(performance.now());
    while (this.frames.length < all.length && !this.ended) {
      const part = all.slice(this.frames.length, this.frames.length + most);
      this.frames.push(...(await page.engine.lane("play").decode(joined(part), part.length)) ?? []);
      this.state.textContent = this.frames.length < all.length ? `${this.frames.length} of ${all.length} frames` : `${all.length} frames, ${FPS} a second`;
    }
  }

  /** Shows the next frame when its time has come, and waits where it is not there yet.
   * @param {number} last when a frame was shown */
  tick(last) {
    requestAnimationFrame((now) => {
      if (this.ended) return;
      const due = now - last >= 1000 / FPS - 4 && this.frames.length > 0 && !(this.paused && this.canvas.classList.contains("shown"));
      if (due) {
        show(this.canvas, this.frames[this.at % this.frames.length]);
        this.at = (this.at + 1) % this.frames.length;
      }
      this.tick(due ? now : last);
    });
  }

  /** @param {"webp" | "video"} kind
   * @param {HTMLButtonElement[]} buttons */
  async save(kind, buttons) {
    const { page, frames } = this;
    for (const button of buttons) button.disabled = true;
    try {
      const words = `${page.info.name} interpolation`;
      if (kind === "webp") save(await webp(frames, FPS), words, "webp");
      else {
        page.say("Recording");
        const { blob, ending } = await video(frames, FPS);
        save(blob, words, ending);
      }
      page.say("Saved");
    } catch (error) {
      page.trouble(/** @type {Error} */ (error).message);
    }
    for (const button of buttons) button.disabled = false;
  }
}
