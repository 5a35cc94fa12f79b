// A case or a training case's answer: the picture, the region, the answer, and all of it by keyboard.
import { pause, resume } from "./answer.js";
import "./region.js";
import { actions, byId, pan, stage, turn } from "./viewer.js";

function nextRating() {
  const fields = [...document.querySelectorAll(".rating [name]")];
  fields[(fields.indexOf(document.activeElement) + 1) % fields.length]?.select();
}

const keys = {
  "+": actions.in, "=": actions.in, "-": actions.out, "0": actions.fit,
  k: actions.play, ",": actions.back, ".": actions.step,
  w: () => turn("window", 10), s: () => turn("window", -10), e: () => turn("level", 5), c: () => turn("level", -5),
  r: nextRating, v: () => stage.focus(), p: () => pause(), m: () => byId("left")?.focus(),
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
