// The marked region, a box in the picture's pixels, and dragging: it marks, or moves the picture.
import { actions, byId, moving, origin, pan, scale, size, stage, view } from "./viewer.js";

const edges = ["left", "top", "right", "bottom"], box = byId("box");

function pixel(event) {
  const around = stage.getBoundingClientRect(), { x, y } = origin();
  const at = (value, most) => Math.min(most, Math.max(0, Math.round(value / scale())));
  return { x: at(event.clientX - around.left - x, size.width), y: at(event.clientY - around.top - y, size.height) };
}

function drawBox() {
  if (!byId("left")) return;
  const [left, top, right, bottom] = edges.map((edge) => byId(edge).value);
  const whole = [left, top, right, bottom].every((value) => value !== "");
  box.hidden = !whole || Number(byId("frame").value) !== view.frame;
  if (box.hidden) return;
  const { x, y } = origin(), style = box.style;
  style.left = `${x + left * scale()}px`;
  style.top = `${y + top * scale()}px`;
  style.width = `${(right - left) * scale()}px`;
  style.height = `${(bottom - top) * scale()}px`;
}

// All four edges or none, and with an area: the browser says so before anything is sent.
function changed() {
  const some = edges.some((edge) => byId(edge).value !== "");
  for (const edge of edges) byId(edge).required = some;
  byId("right").min = some ? Number(byId("left").value) + 1 : 0;
  byId("bottom").min = some ? Number(byId("top").value) + 1 : 0;
  byId("frame").value = view.frame;
  drawBox();
}

function mark(first, last) {
  if (first.x === last.x || first.y === last.y) return;
  const low = [Math.min(first.x, last.x), Math.min(first.y, last.y)];
  const values = [...low, Math.max(first.x, last.x), Math.max(first.y, last.y)];
  edges.forEach((edge, number) => { byId(edge).value = values[number]; });
  changed();
}

let start = null; // of a drag, in the picture's pixels
stage.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button) return; // a second finger or the other mouse button marks nothing
  stage.focus({ preventScroll: true });
  if (!moving() && view.playing) actions.play();
  start = pixel(event);
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!start || !event.isPrimary) return;
  if (moving()) pan(event.movementX, event.movementY);
  else mark(start, pixel(event));
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { start = null; });
stage.addEventListener("drawn", drawBox);
if (byId("left")) {
  byId("unmark").addEventListener("click", () => {
    for (const edge of edges) byId(edge).value = "";
    changed();
  });
  for (const edge of edges) byId(edge).addEventListener("input", changed);
}
