// The picture or clip: zoom, window and level, playback. Tells the stage "drawn" whenever something was drawn or moved.
export const byId = (name) => document.getElementById(name);
export const stage = byId("stage"), token = stage.dataset.page;
export const size = { width: Number(stage.dataset.width), height: Number(stage.dataset.height) };
export const view = { frame: 0, zoom: 1, x: 0, y: 0, playing: null };
const canvas = byId("picture"), count = Number(stage.dataset.frames), frames = [];

function load(number) {
  const picture = new Image();
  picture.onload = () => {
    const sheet = document.createElement("canvas");
    [sheet.width, sheet.height] = [size.width, size.height];
    const plain = sheet.getContext("2d");
    plain.drawImage(picture, 0, 0);
    frames[number] = plain.getImageData(0, 0, size.width, size.height);
    if (number === view.frame) draw();
    stage.dataset.loaded = frames.filter(Boolean).length;
  };
  picture.onerror = () => setTimeout(() => load(number), 3000);
  picture.src = `/picture/${token}/${number}`;
}

function draw() {
  const source = frames[view.frame];
  if (!source) return;
  // With the window 255 and the level 128, at which a case opens, every grey value is shown as it is.
  const wide = Number(byId("window").value), level = Number(byId("level").value), table = new Uint8ClampedArray(256);
  for (let grey = 0; grey < 256; grey++) table[grey] = ((grey - level) / wide) * 255 + 128;
  const shown = new ImageData(size.width, size.height);
  for (let place = 0; place < source.data.length; place++) {
    shown.data[place] = place % 4 === 3 ? 255 : table[source.data[place]];
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
  if (byId("frame-shown")) byId("frame-shown").value = `${view.frame + 1} / ${count}`;
  stage.dispatchEvent(new Event("drawn"));
}

const base = () => Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height);
export const scale = () => base() * view.zoom;
export const origin = () => ({
  x: (stage.clientWidth - size.width * scale()) / 2 + view.x,
  y: (stage.clientHeight - size.height * scale()) / 2 + view.y,
});

function place() {
  const { x, y } = origin();
  canvas.style.transform = `translate(${x}px, ${y}px) scale(${scale()})`;
  stage.dispatchEvent(new Event("drawn"));
}

function zoom(factor) {
  view.zoom = Math.min(12, Math.max(1, view.zoom * factor));
  if (view.zoom === 1) view.x = view.y = 0;
  place();
}

export function pan(x, y) {
  view.x += x;
  view.y += y;
  place();
}

function fit() {
  view.zoom = 1;
  view.x = view.y = 0;
  byId("window").value = 255;
  byId("level").value = 128;
  draw();
  place();
}

export function turn(name, by) {
  byId(name).value = Number(byId(name).value) + by;
  draw();
}

function go(by) {
  view.frame = (view.frame + by + count) % count;
  draw();
}

function play() {
  if (count < 2) return;
  if (view.playing) clearInterval(view.playing);
  view.playing = view.playing ? null : setInterval(() => go(1), 120);
  byId("play").textContent = view.playing ? "■ Stop" : "▶ Play";
}

function move() {
  const button = byId("move");
  button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
}

export const moving = () => !byId("left") || byId("move").getAttribute("aria-pressed") === "true";
export const actions = {
  move, fit, play, in: () => zoom(1.25), out: () => zoom(0.8), step: () => go(1), back: () => go(-1),
};

document.querySelectorAll("[data-do]").forEach((one) => one.addEventListener("click", actions[one.dataset.do]));
for (const name of ["window", "level"]) byId(name).addEventListener("input", draw);
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
}, { passive: false });
addEventListener("resize", place);
for (let number = 0; number < count; number++) load(number);
place();
