// The picture in hand: drawn before all others, edited by sliders, kept, saved, and used elsewhere.

import { painter } from "zeuxis/decoding.js";
import { draggable, make, savePng, show } from "zeuxis/pictures.js";
import { nameOf } from "zeuxis/recipes.js";
import { mountSliders } from "zeuxis/views/sliders.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */

const QUIET = 600; // ms after which the caption is told to a screen reader
const PLACES = /** @type {import("zeuxis/page.js").Place[]} */ (["A", "B", "C", "Start", "End"]);

/** @param {HTMLElement} root
 * @param {Page} page
 * @param {() => void} look asks for the picture under the pin again */
export function mountHand(root, page, look) {
  const live = make("canvas", { className: "live", role: "img", width: page.info.size, height: page.info.size });
  const caption = make("p", { className: "caption" }), paint = painter(page.engine, "hand", page.rough);
  const sliders = mountSliders(page, look);
  root.append(bar(page, live, sliders), live, caption, uses(page), sliders.root);
  draggable(live, () => page.hand);
  const more = () => root.classList.toggle("more", root.scrollHeight - root.scrollTop - root.clientHeight > 8);
  const watch = new ResizeObserver(more);
  for (const element of [root, sliders.root]) watch.observe(element);
  root.addEventListener("scroll", more, { passive: true });
  const shown = /** @type {number[]} */ ([]);
  Object.assign(page, { shown });
  let later = 0;
  /** @param {string} text */
  const said = (text) => {
    const sentence = text[0].toUpperCase() + text.slice(1);
    caption.textContent = sentence;
    live.setAttribute("aria-label", sentence);
    clearTimeout(later);
    later = setTimeout(() => document.activeElement?.matches(".wall") && page.say(sentence), QUIET);
  };
  return {
    get edits() { return sliders.edits; },
    clear: () => sliders.set({}),
    set: sliders.set,
    /** @param {Recipe} place */
    async hold(place) {
      const edits = sliders.edits, recipe = Object.keys(edits).length ? { from: place, edits } : place;
      page.hold(recipe);
      said(nameOf(recipe));
      try {
        await paint(await page.latent(recipe), 1, ([image]) => {
          show(live, image);
          shown.push(performance.now());
          if (shown.length > 1000) shown.shift();
        });
      } catch (error) {
        page.trouble(/** @type {Error} */ (error).message);
      }
    },
  };
}

/** @param {Page} page
 * @param {HTMLCanvasElement} live
 * @param {ReturnType<typeof mountSliders>} sliders */
function bar(page, live, sliders) {
  const keep = make("button", { className: "strong" });
  const mark = () => {
    const kept = page.keptAs(page.hand);
    keep.textContent = kept ? "Remove" : "Keep";
    keep.classList.toggle("strong", !kept);
    keep.onclick = () => (kept ? page.discard(kept) : page.hand && page.keep(page.hand));
  };
  page.on("hand", mark);
  page.on("kept", mark);
  mark();
  return make("div", { className: "bar" }, make("h2", { textContent: "In hand" }), make("span", { className: "push" }), sliders.reset,
    make("button", { textContent: "Save PNG", onclick: () => page.hand && savePng(live, `${page.info.name} ${nameOf(page.hand)}`) }), keep);
}

/** Every drop can be done by a button: nothing needs a drag.
 * @param {Page} page */
function uses(page) {
  const buttons = PLACES.map((place) => make("button", { textContent: place, onclick: () => page.hand && page.use(place, page.hand) }));
  return make("div", { className: "uses", role: "group", "aria-label": "Use the picture in hand as" }, make("span", { textContent: "Use as" }), ...buttons);
}
