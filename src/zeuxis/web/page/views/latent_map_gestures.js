// Moving over the map of encoded pictures: pointer, two fingers, wheel and keys.

/** @typedef {import("zeuxis/views/latent_map.js").EncodedMap} EncodedMap */

export const STEP = 1.5; // of one zoom
const NEAR = 24; // pixels from a click to the picture that it means
const STILL = 4; // pixels that a click may move
const KEY = 40; // pixels of an arrow key

/** @param {EncodedMap} map */
export function listen(map) {
  const { canvas } = map, touching = /** @type {Map<number, PointerEvent>} */ (new Map());
  let went = 0;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    touching.set(event.pointerId, event);
    if (touching.size === 1) went = 0;
  };
  canvas.onpointermove = (event) => {
    const before = touching.get(event.pointerId);
    if (!before) return;
    const others = [...touching.values()].filter((one) => one.pointerId !== event.pointerId);
    if (others.length) pinch(map, before, event, others[0]);
    else map.move(before.clientX - event.clientX, before.clientY - event.clientY);
    went += Math.hypot(before.clientX - event.clientX, before.clientY - event.clientY);
    touching.set(event.pointerId, event);
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    const clicked = touching.delete(event.pointerId) && event.type === "pointerup" && went < STILL && !touching.size;
    if (clicked) map.pick(event.offsetX, event.offsetY, NEAR);
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    map.zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.onkeydown = (event) => key(map, event);
}

/** @param {EncodedMap} map
 * @param {PointerEvent} before
 * @param {PointerEvent} now
 * @param {PointerEvent} still the other finger */
function pinch(map, before, now, still) {
  const apart = (/** @type {PointerEvent} */ one) => Math.hypot(one.clientX - still.clientX, one.clientY - still.clientY);
  const { left, top } = map.canvas.getBoundingClientRect();
  map.zoom(apart(now) / Math.max(1, apart(before)), (now.clientX + still.clientX) / 2 - left, (now.clientY + still.clientY) / 2 - top);
}

/** @param {EncodedMap} map
 * @param {KeyboardEvent} event */
function key(map, event) {
  const moves = /** @type {Record<string, () => void>} */ ({
    ArrowLeft: () => map.move(-KEY, 0), ArrowRight: () => map.move(KEY, 0), ArrowUp: () => map.move(0, -KEY), ArrowDown: () => map.move(0, KEY),
    "+": () => map.zoom(STEP), "=": () => map.zoom(STEP), "-": () => map.zoom(1 / STEP), Home: () => map.fit(),
    Enter: () => map.pick(map.canvas.clientWidth / 2, map.canvas.clientHeight / 2, Infinity),
  });
  if (!moves[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  moves[event.key]();
}
