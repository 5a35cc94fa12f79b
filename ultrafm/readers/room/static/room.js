// The viewer (zoom, window and level, playback, region), the clock, pause, keyboard, and sending until it is kept.
"use strict";

const byId = (name) => document.getElementById(name);
const stage = byId("stage"), canvas = byId("picture"), box = byId("box"), form = byId("answer");
const token = stage.dataset.page, count = Number(stage.dataset.frames);
const size = { width: Number(stage.dataset.width), height: Number(stage.dataset.height) };
const view = { frame: 0, zoom: 1, x: 0, y: 0, playing: null };
const frames = [];
const edges = ["left", "top", "right", "bottom"];

// Pictures -----------------------------------------------------------------------------------------------------------
function load(number) {
  const picture = new Image();
  picture.onload = () => {
    const plain = new OffscreenCanvas(size.width, size.height).getContext("2d");
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
  const wide = Number(byId("window").value), level = Number(byId("level").value), table = new Uint8ClampedArray(256);
  for (let grey = 0; grey < 256; grey++) table[grey] = ((grey - level) / wide + 0.5) * 255;
  const shown = new ImageData(size.width, size.height);
  for (let place = 0; place < source.data.length; place++) {
    shown.data[place] = place % 4 === 3 ? 255 : table[source.data[place]];
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
  if (byId("frame-shown")) byId("frame-shown").value = `${view.frame + 1} / ${count}`;
  drawBox();
}

const base = () => Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height);
const scale = () => base() * view.zoom;
const origin = () => ({
  x: (stage.clientWidth - size.width * scale()) / 2 + view.x,
  y: (stage.clientHeight - size.height * scale()) / 2 + view.y,
});

function place() {
  const { x, y } = origin();
  canvas.style.transform = `translate(${x}px, ${y}px) scale(${scale()})`;
  drawBox();
}

function zoom(factor) {
  view.zoom = Math.min(12, Math.max(1, view.zoom * factor));
  if (view.zoom === 1) view.x = view.y = 0;
  place();
}

function pan(x, y) {
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

function turn(name, by) {
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

const actions = {
  move, in: () => zoom(1.25), out: () => zoom(0.8), fit, play, step: () => go(1), back: () => go(-1),
};
document.querySelectorAll("[data-do]").forEach((one) => one.addEventListener("click", actions[one.dataset.do]));
for (const name of ["window", "level"]) byId(name).addEventListener("input", draw);
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
}, { passive: false });
addEventListener("resize", place);

// Region: a box in the picture's pixels ------------------------------------------------------------------------------
function pixel(event) {
  const around = stage.getBoundingClientRect(), { x, y } = origin();
  const at = (value, most) => Math.min(most, Math.max(0, Math.round(value / scale())));
  return { x: at(event.clientX - around.left - x, size.width), y: at(event.clientY - around.top - y, size.height) };
}

function drawBox() {
  if (!byId("left")) return;
  const [left, top, right, bottom] = edges.map((edge) => byId(edge).value);
  const there = [left, top, right, bottom].every((value) => value !== "") && Number(byId("frame").value) === view.frame;
  box.hidden = !there;
  if (!there) return;
  const { x, y } = origin(), style = box.style;
  style.left = `${x + left * scale()}px`;
  style.top = `${y + top * scale()}px`;
  style.width = `${(right - left) * scale()}px`;
  style.height = `${(bottom - top) * scale()}px`;
}

function mark(first, last) {
  if (first.x === last.x || first.y === last.y) return;
  const values = [Math.min(first.x, last.x), Math.min(first.y, last.y), Math.max(first.x, last.x), Math.max(first.y, last.y)];
  edges.forEach((edge, number) => { byId(edge).value = values[number]; });
  byId("frame").value = view.frame;
  drawBox();
}

let start = null; // of a drag, in the picture's pixels
const moving = () => !byId("left") || byId("move").getAttribute("aria-pressed") === "true";
stage.addEventListener("pointerdown", (event) => {
  stage.focus({ preventScroll: true });
  if (!moving() && view.playing) play();
  start = pixel(event);
  stage.setPointerCapture(event.pointerId);
});
stage.addEventListener("pointermove", (event) => {
  if (!start) return;
  if (moving()) pan(event.movementX, event.movementY);
  else mark(start, pixel(event));
});
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => { start = null; });
if (byId("left")) {
  byId("unmark").addEventListener("click", () => {
    for (const edge of edges) byId(edge).value = "";
    drawBox();
  });
  for (const edge of edges) {
    byId(edge).addEventListener("input", () => {
      byId("frame").value = view.frame;
      drawBox();
    });
  }
}

// Clock and pause: the server keeps the time, this only shows it and tells the server -------------------------------
let seconds = 0, running = Boolean(form), leaving = false;
const body = (fields) => new URLSearchParams(fields);

function tell(kind) {
  return fetch("/sign", { method: "POST", body: body({ page: token, kind }), keepalive: true }).catch(() => {});
}

function pause() {
  if (!running || !form) return;
  running = false;
  if (view.playing) play();
  stage.classList.add("covered");
  byId("paused").showModal();
  tell("paused");
}

async function resume() {
  await tell("resumed");
  running = true;
  stage.classList.remove("covered");
  byId("paused").close();
}

if (form) {
  setInterval(() => {
    if (!running) return;
    seconds += 1;
    byId("timer").value = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds % 15 === 0) tell("alive");
  }, 1000);
  byId("pause").addEventListener("click", pause);
  byId("resume").addEventListener("click", resume);
  byId("paused").addEventListener("cancel", (event) => { event.preventDefault(); resume(); });
  // A tab that is put behind another one pauses; a page that is left does not (it becomes hidden too).
  addEventListener("pagehide", () => { leaving = true; });
  document.addEventListener("visibilitychange", () => setTimeout(() => { if (document.hidden && !leaving) pause(); }, 0));
  addEventListener("pageshow", (event) => { if (event.persisted) location.replace("/read"); });

  // Ratings: the number counts, the slider only helps to set it.
  for (const slider of document.querySelectorAll(".slider")) {
    const number = byId(slider.dataset.for);
    slider.classList.add("untouched");
    slider.addEventListener("input", () => {
      number.value = slider.value;
      slider.classList.remove("untouched");
    });
    number.addEventListener("input", () => {
      if (number.value !== "") slider.value = number.value;
      slider.classList.toggle("untouched", number.value === "");
    });
  }

  // Sending: the same page's answer is kept once, however often it arrives, so try until the server has said so.
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    byId("submit").disabled = true;
    const answer = body(new FormData(form));
    for (;;) {
      byId("state").textContent = "Sending …";
      try {
        const reply = await fetch("/submit", { method: "POST", body: answer, headers: { Accept: "application/json" } });
        if (reply.ok) {
          location.replace((await reply.json()).next);
          return;
        }
      } catch { /* the server cannot be reached */ }
      byId("state").textContent = "Not kept yet: the server does not answer. Trying again; leave this page open.";
      await new Promise((done) => setTimeout(done, 2000));
    }
  });
}

// Keyboard -----------------------------------------------------------------------------------------------------------
function nextRating() {
  const fields = [...document.querySelectorAll(".rating [name]")];
  fields[(fields.indexOf(document.activeElement) + 1) % fields.length]?.select();
}

const keys = {
  "+": actions.in, "=": actions.in, "-": actions.out, "0": fit, k: play, ",": actions.back, ".": actions.step,
  w: () => turn("window", 10), s: () => turn("window", -10), e: () => turn("level", 5), c: () => turn("level", -5),
  r: nextRating, v: () => stage.focus(), p: pause, m: () => byId("left")?.focus(),
  d: () => (document.querySelector("[name=diagnosis]:checked") ?? document.querySelector("[name=diagnosis]"))?.focus(),
};
const arrows = { ArrowLeft: [30, 0], ArrowRight: [-30, 0], ArrowUp: [0, 30], ArrowDown: [0, -30] };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (byId("paused")?.open) {
    if (event.key === "p") { event.preventDefault(); resume(); }
    return;
  }
  if (document.activeElement === stage && arrows[event.key]) {
    event.preventDefault();
    pan(...arrows[event.key]);
    return;
  }
  const typing = event.target.matches("input[type=number], input[type=text]");
  if (typing && !/^[a-z]$/.test(event.key)) return;
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

for (let number = 0; number < count; number++) load(number);
place();
if (form) document.querySelector(".rating [name]").focus({ preventScroll: true });
