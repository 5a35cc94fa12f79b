// The answer: its clock (the server keeps the time, this shows it and gives signs of life), pause, ratings, sending.
import { actions, byId, stage, token, view } from "./viewer.js";

const form = byId("answer");
let seconds = 0, running = Boolean(form), leaving = false, tick = Date.now();
let told = Promise.resolve(true); // did the server hear of the last pause?
const body = (fields) => new URLSearchParams(fields);
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

function tell(kind) {
  const sent = fetch("/sign", { method: "POST", body: body({ page: token, kind }), keepalive: true });
  return sent.then(() => true, () => false);
}

export function pause(kind = "paused") {
  if (!running) return;
  running = false;
  if (view.playing) actions.play();
  stage.classList.add("covered");
  byId("paused").showModal();
  told = tell(kind);
}

// A pause that the server did not hear of counts from the page's last sign of life; nothing goes on before it has.
export async function resume() {
  while (!(await told)) {
    await wait(1000);
    told = tell("asleep");
  }
  while (!(await tell("resumed"))) await wait(1000);
  running = true;
  stage.classList.remove("covered");
  byId("paused").close();
}

if (form) {
  setInterval(() => {
    const gone = Date.now() - tick;
    tick += gone;
    if (gone > 20_000) pause("asleep"); // the lid was closed: what went by since the last sign of life does not count
    if (!running) return;
    seconds += 1;
    byId("timer").value = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds % 15 === 0) tell("alive");
  }, 1000);
  byId("pause").addEventListener("click", () => pause());
  byId("resume").addEventListener("click", resume);
  byId("paused").addEventListener("cancel", (event) => { event.preventDefault(); resume(); });
  // A tab that is put behind another one pauses; a page that is left does not (it becomes hidden too).
  addEventListener("pagehide", () => { leaving = true; });
  document.addEventListener("visibilitychange", async () => {
    await wait(0);
    if (document.hidden && !leaving) pause();
  });
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
      await wait(2000);
    }
  });
  document.querySelector(".rating [name]").focus({ preventScroll: true });
}
