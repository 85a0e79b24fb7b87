// Still pictures out of a video that is on this machine.

import { el } from "./dom.js";

const HEIGHT = 96;
const LONGEST_MS = 8000;

/** Pictures of a video at some times, as canvases; null where this browser can't read the file. */
export async function picturesOf(url, times) {
  const video = el("video", { preload: "auto", playsinline: true });
  video.muted = true;
  video.src = url;
  try {
    await once(video, "loadeddata");
    const pictures = [];
    for (const time of times) {
      const arrived = once(video, "seeked");
      video.currentTime = time;
      await arrived;
      pictures.push(pictureOf(video));
    }
    return pictures;
  } catch {
    return null;
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}

function pictureOf(video) {
  const width = Math.round((HEIGHT * video.videoWidth) / video.videoHeight);
  const canvas = el("canvas", { width, height: HEIGHT, "aria-hidden": "true" });
  canvas.getContext("2d").drawImage(video, 0, 0, width, HEIGHT);
  return canvas;
}

function once(video, event) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no ${event}`)), LONGEST_MS);
    const end = (settle) => () => {
      clearTimeout(late);
      settle();
    };
    video.addEventListener(event, end(resolve), { once: true });
    video.addEventListener("error", end(() => reject(new Error("unreadable"))), { once: true });
  });
}
