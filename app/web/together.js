// One's own take and the dictionary's video, side by side and in step.

import { caption } from "./card.js";
import { clipSpeed } from "./clip.js";
import { el, icon, reducedMotion, relabel, button } from "./dom.js";
import { t } from "./texts.js";

const SLOWEST = 0.25;
const FASTEST = 4;
const OUT_OF_STEP = 0.04; // of the sign
const STEPS = 200;

/** Both videos under one control. The take is sped up or slowed down so that both signs begin and end together. */
export function together(take, entry, gloss) {
  const [source, fragment = ""] = entry.video_url.split("#t=");
  const [from = 0, to = Infinity] = fragment.split(",").filter(Boolean).map(Number);
  const theirs = side(source, t("together.theirs.label", { gloss }));
  const mine = side(take.url, t("together.mine.label"));
  const stretches = [
    [theirs, () => ({ start: from, end: Math.min(to, theirs.duration || Infinity) })],
    [mine, () => ({ start: take.stretch.start, end: Math.min(take.stretch.end, take.whole.query.duration_s) })],
  ];
  const [theirStretch, myStretch] = stretches.map(([, stretch]) => stretch);
  let going = !reducedMotion.matches;
  let running = true;
  let ready = false;

  const shareOf = (video, { start, end }) => (video.currentTime - start) / (end - start);
  const seek = (share) => stretches.forEach(([video, stretch]) => (video.currentTime = at(stretch(), share)));
  const at = ({ start, end }, share) => start + share * (end - start);

  const play = () => {
    const [one, other] = [theirStretch(), myStretch()];
    theirs.playbackRate = clipSpeed();
    mine.playbackRate = Math.min(FASTEST, Math.max(SLOWEST, (clipSpeed() * (other.end - other.start)) / (one.end - one.start)));
    for (const video of [theirs, mine]) if (video.paused && !video.ended) video.play().catch(() => {});
  };
  const hold = () => [theirs, mine].forEach((video) => video.pause());

  // Each picture: begin again together at the end, and pull the take back where it runs ahead or behind.
  const keep = () => {
    if (!running) return;
    requestAnimationFrame(keep);
    if (!ready) return;
    const share = shareOf(theirs, theirStretch());
    if (document.activeElement !== slider || going) slider.value = Math.round(share * STEPS);
    if (!going) return;
    if (share >= 0.995 || theirs.ended) seek(0);
    else if (!mine.seeking && !theirs.seeking && Math.abs(shareOf(mine, myStretch()) - share) > OUT_OF_STEP) mine.currentTime = at(myStretch(), share);
    play();
  };

  const slider = el("input", {
    type: "range", min: 0, max: STEPS, value: 0, "aria-label": t("together.position"),
    input: () => {
      set(false);
      seek(slider.value / STEPS);
    },
  });
  const toggle = button("", () => set(!going), { look: "primary" });
  const set = (now) => {
    going = now;
    relabel(toggle, t(going ? "together.hold" : "together.play"), going ? "pause" : "play");
    if (going) play();
    else hold();
  };
  const mirror = button(t("together.mirror"), () => {
    const now = mine.classList.toggle("flipped");
    mirror.setAttribute("aria-pressed", now);
  }, { look: "toggle", drawing: "mirror", "aria-pressed": "false" });

  Promise.all([loaded(theirs), loaded(mine)]).then(() => {
    seek(0);
    ready = true;
    set(going);
  });
  requestAnimationFrame(keep);

  const node = el(
    "div",
    { class: "together" },
    el("div", { class: "pair" },
      el("figure", {}, el("div", { class: "picture" }, theirs), el("figcaption", {}, el("strong", {}, t("together.theirs")))),
      el("figure", {}, el("div", { class: "picture" }, mine), el("figcaption", {}, el("strong", {}, t("together.mine"))))),
    el("div", { class: "controls" }, toggle, slider, mirror),
    caption(entry),
  );
  set(going);
  return {
    node,
    stop: () => {
      running = false;
      hold();
    },
  };
}

function side(source, label) {
  const video = el("video", { playsinline: true, preload: "auto", "aria-label": label });
  video.muted = true;
  video.src = source;
  return video;
}

function loaded(video) {
  return new Promise((resolve) => {
    if (video.readyState >= 2) resolve();
    else video.addEventListener("loadeddata", resolve, { once: true });
  });
}
