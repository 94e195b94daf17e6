// One future of a noisy image, large: the image itself, what is expected of it, and what comes of it.

import { make } from "zeuxis/pictures.js";

/** @param {number} size of a picture
 * @param {string} label of the result, which is a button
 * @param {() => void} taken */
export function futureOf(size, label, taken) {
  const picture = (/** @type {string} */ name) => make("canvas", { role: "img", width: size, height: size, "aria-label": name });
  const noisy = picture("Noisy image x_t"), expected = picture("Expected image x_0"), result = make("canvas", { width: size, height: size });
  const button = make("button", { className: "result", "aria-label": label, disabled: true, onclick: taken }, result);
  const named = (/** @type {HTMLElement} */ shown, /** @type {string} */ name, /** @type {string} */ index) =>
    make("figure", {}, shown, make("figcaption", {}, name, ...(index ? [" x", make("sub", { textContent: index })] : [])));
  const title = make("h3"), trio = make("div", { className: "trio" }, named(noisy, "noisy", "t"), named(expected, "expected", "0"), named(button, "result", ""));
  return { box: make("div", { className: "future" }, title, trio), title, noisy, expected, result, button };
}
