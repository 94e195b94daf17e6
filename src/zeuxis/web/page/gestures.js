// What moves a wall: the mouse, one finger or two, the wheel, and the keyboard.

/** @typedef {import("zeuxis/wall.js").Wall} Wall */

const STILL = 4; // css pixels under which a press is a click
const NOTCH = 60; // of the wheel, for one step of zoom
const SPREAD = 1.25; // of two fingers, for one step of zoom

/** @param {Wall} wall */
export function listen(wall) {
  pointer(wall);
  wheel(wall);
  wall.canvas.addEventListener("keydown", (event) => {
    if (!key(wall, event)) return;
    event.preventDefault();
  });
}

/** Where the pointer is on the wall.
 * @param {Wall} wall
 * @param {MouseEvent} event */
function over(wall, event) {
  const box = wall.canvas.getBoundingClientRect();
  return wall.toPlace(event.clientX - box.left, event.clientY - box.top);
}

/** @param {Wall} wall */
function pointer(wall) {
  const { canvas } = wall, down = /** @type {Map<number, PointerEvent>} */ (new Map());
  let travelled = 0, spread = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture?.(event.pointerId);
    down.set(event.pointerId, event);
    travelled = spread = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (before) down.set(event.pointerId, event);
    if (before && down.size === 2) {
      spread = pinched(wall, [...down.values()], spread);
      travelled = Infinity;
      return;
    }
    if (before && down.size === 1) {
      const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
      travelled += Math.hypot(dx, dy);
      if (travelled > STILL) wall.drag(dx, dy);
    }
    if (event.pointerType === "mouse") wall.look(over(wall, event));
    else if (before && travelled > STILL) wall.look(null);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    if (!down.delete(event.pointerId) || event.type === "pointercancel" || travelled > STILL) return;
    if (event.pointerType === "mouse") wall.hold(over(wall, event));
    else wall.go(over(wall, event).x, over(wall, event).y);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && !down.size && wall.look(null));
  canvas.addEventListener("dblclick", () => wall.entered());
}

/** Two fingers zoom about the middle between them; gives the spread that the next step counts from.
 * @param {Wall} wall
 * @param {PointerEvent[]} fingers
 * @param {number} spread */
function pinched(wall, [a, b], spread) {
  const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), ratio = spread ? now / spread : 1;
  if (ratio < SPREAD && ratio > 1 / SPREAD) return spread || now;
  const middle = new MouseEvent("move", { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });
  wall.zoomBy(ratio > 1 ? 1 : -1, over(wall, middle));
  return now;
}

/** @param {Wall} wall */
function wheel(wall) {
  let turned = 0;
  wall.canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    turned += event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1) * (event.ctrlKey ? 4 : 1);
    if (Math.abs(turned) < NOTCH) return;
    wall.zoomBy(turned < 0 ? 1 : -1, over(wall, event));
    turned = 0;
  }, { passive: false });
}

/** Arrows move by a quarter of a picture, with Shift by a whole one. True where the key meant something.
 * @param {Wall} wall
 * @param {KeyboardEvent} event */
function key(wall, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const far = (event.shiftKey ? 1 : 0.25) / wall.per, { x, y } = wall.centre;
  switch (event.key) {
    case "ArrowLeft": wall.go(x - far, y); break;
    case "ArrowRight": wall.go(x + far, y); break;
    case "ArrowUp": wall.go(x, y - far); break;
    case "ArrowDown": wall.go(x, y + far); break;
    case "+": case "=": wall.zoomBy(1); break;
    case "-": wall.zoomBy(-1); break;
    case "Home": wall.go(0, 0); break;
    case "Enter": wall.entered(); break;
    default: return false;
  }
  return true;
}
