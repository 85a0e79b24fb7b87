// Muted, looping videos that play while one can see them.

import { el, reducedMotion } from "./dom.js";

let speed = 1;
let playing = !reducedMotion.matches;
const clips = new WeakMap();

/** A clip: `url` may end in a media fragment (#t=start,end), then only that stretch loops. */
export function clipVideo({ url, poster = null, label, autoplay = true }) {
  const [source, fragment] = url.split("#t=");
  const [start = 0, end = Infinity] = (fragment ?? "").split(",").filter(Boolean).map(Number);
  const video = el("video", { class: "clip", playsinline: true, preload: "metadata", "aria-label": label });
  video.muted = true;
  video.disablePictureInPicture = true;
  const clip = { source, poster, start, end, autoplay, seen: false, wanted: false };
  clips.set(video, clip);
  loopStretch(video, () => clip);
  video.addEventListener("loadedmetadata", () => {
    video.playbackRate = speed;
    if (clip.start) video.currentTime = clip.start;
  });
  video.addEventListener("playing", () => video.classList.add("moving"));
  video.addEventListener("error", () => video.classList.add("unplayable"));
  sight.observe(video);
  return video;
}

/** Go back to the start when the end of the stretch is reached. `stretchOf()` gives {start, end} in seconds. */
export function loopStretch(video, stretchOf) {
  const check = () => {
    const { start, end } = stretchOf();
    if (video.currentTime >= end || video.currentTime < start - 0.3) video.currentTime = start;
  };
  const onFrame = () => {
    check();
    video.requestVideoFrameCallback(onFrame);
  };
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onFrame);
  else video.addEventListener("timeupdate", check);
  video.addEventListener("ended", () => {
    video.currentTime = stretchOf().start;
    video.play().catch(() => {});
  });
}

const sight = new IntersectionObserver(
  (sightings) => {
    for (const { target, isIntersecting } of sightings) {
      clips.get(target).seen = isIntersecting;
      update(target);
    }
  },
  { rootMargin: "80px" },
);

function update(video) {
  const clip = clips.get(video);
  if (clip.seen && !video.poster && clip.poster) video.poster = clip.poster;
  const wanted = clip.seen && ((playing && clip.autoplay) || clip.wanted);
  if (wanted && !video.getAttribute("src")) video.src = clip.source;
  if (wanted) video.play().catch(() => {}); // refused or interrupted: the picture stays
  else video.pause();
}

const all = () => document.querySelectorAll("video.clip");

/** Let one clip play while somebody points at it, whatever the others do. */
export function playWhilePointedAt(node, video) {
  const want = (wanted) => () => {
    clips.get(video).wanted = wanted;
    update(video);
  };
  node.addEventListener("pointerenter", want(true));
  node.addEventListener("pointerleave", want(false));
  node.addEventListener("focusin", want(true));
  node.addEventListener("focusout", want(false));
}

export function clipSpeed() {
  return speed;
}

/** 1, or 0.5 for half speed, for all clips. */
export function setClipSpeed(value) {
  speed = value;
  all().forEach((video) => (video.playbackRate = value));
}

export function clipsPlay() {
  return playing;
}

/** Play or hold all clips. */
export function setClipsPlay(value) {
  playing = value;
  all().forEach(update);
}

reducedMotion.addEventListener("change", () => setClipsPlay(!reducedMotion.matches));
