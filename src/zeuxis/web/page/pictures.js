// Pictures on the page: shown, dragged, dropped, saved. What is dragged is the recipe.

import { isRecipe, nameOf, shortName } from "zeuxis/recipes.js";

/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/page.js").Page} Page */

const KIND = "application/json"; // of a recipe that is dragged

/** @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [set] properties, and attributes that have a hyphen or are a role
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]} */
export function make(tag, set = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, String(value));
    else Object.assign(element, { [name]: value });
  }
  element.append(...children);
  return element;
}

/** Paint a picture at its own pixels; the stylesheet says how large it looks.
 * @param {HTMLCanvasElement} canvas
 * @param {ImageData} image */
export function show(canvas, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  canvas.classList.add("shown");
}

/** A small picture that is a button: it can be taken into hand and dragged.
 * @param {Recipe} recipe
 * @param {Page} page
 * @param {string} [label] */
export function thumb(recipe, page, label = nameOf(recipe)) {
  const canvas = make("canvas", { width: page.info.size, height: page.info.size });
  const say = make("span", { className: "say", textContent: shortName(recipe) });
  const button = make("button", { className: "thumb", title: nameOf(recipe), "aria-label": label }, canvas, say);
  button.onclick = () => page.take(recipe);
  draggable(button, () => recipe);
  page.picture(recipe).then((image) => image && show(canvas, image), (error) => page.trouble(error.message));
  return button;
}

/** @param {HTMLElement} element
 * @param {() => Recipe | null} recipe */
export function draggable(element, recipe) {
  element.draggable = true;
  element.addEventListener("dragstart", (event) => {
    const dragged = recipe(), canvas = element instanceof HTMLCanvasElement ? element : element.querySelector("canvas");
    if (!dragged || !event.dataTransfer) return event.preventDefault();
    event.dataTransfer.setData(KIND, JSON.stringify(dragged));
    event.dataTransfer.effectAllowed = "copy";
    if (canvas) event.dataTransfer.setDragImage(canvas, canvas.clientWidth / 2, canvas.clientHeight / 2);
  });
}

/** @param {HTMLElement} element
 * @param {(recipe: Recipe) => void} taken */
export function droppable(element, taken) {
  element.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes(KIND)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    const recipe = dropped(event.dataTransfer?.getData(KIND) ?? "");
    if (recipe) taken(recipe);
  });
}

/** @param {string} text
 * @returns {Recipe | null} */
function dropped(text) {
  try {
    const recipe = JSON.parse(text);
    return isRecipe(recipe) ? recipe : null;
  } catch {
    return null;
  }
}

/** A file for the person, under a name made of words.
 * @param {Blob} blob
 * @param {string} words
 * @param {string} ending */
export function save(blob, words, ending) {
  const href = URL.createObjectURL(blob), name = words.replaceAll(/[^\p{L}\p{N}]+/gu, "-").replaceAll(/^-|-$/g, "");
  make("a", { href, download: `${name || "picture"}.${ending}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** The picture on a canvas as a PNG of its own pixels.
 * @param {HTMLCanvasElement} canvas
 * @param {string} words */
export function savePng(canvas, words) {
  canvas.toBlob((blob) => blob && save(blob, words, "png"), "image/png");
}
