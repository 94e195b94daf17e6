// A link: the state of the whole page as base64url of JSON, behind the # of its address. It never reaches a server.

/** @param {unknown} state */
export function packed(state) {
  const bytes = new TextEncoder().encode(JSON.stringify(state));
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The state in a link; null where there is none, or one that is not whole.
 * @param {string} hash
 * @returns {any} */
export function unpacked(hash) {
  try {
    const letters = atob(hash.replace(/^#/, "").replaceAll("-", "+").replaceAll("_", "/"));
    const state = JSON.parse(new TextDecoder().decode(Uint8Array.from(letters, (letter) => letter.charCodeAt(0))));
    return state && typeof state === "object" && state.v === 1 ? state : null;
  } catch {
    return null;
  }
}

/** A latent as text, for a recipe that no seed gives.
 * @param {Float32Array} z */
export function latentText(z) {
  const bytes = new Uint8Array(z.buffer, z.byteOffset, z.byteLength);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** @param {string} text */
export function textLatent(text) {
  return new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}
