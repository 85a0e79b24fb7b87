// The camera, and recording from it. Nothing here draws.

import { HEIGHT, RestWatch, WIDTH } from "./rest.js";

const WANTED = { audio: false, video: { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } } };
const TYPES = ["video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BITS_PER_SECOND = 2_500_000;
const LOOK_EVERY_MS = 80;

/** Whether this browser, at this address, can record at all. */
export function canRecord() {
  return Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
}

export function openCamera() {
  return navigator.mediaDevices.getUserMedia(WANTED);
}

export function closeCamera(stream) {
  stream.getTracks().forEach((track) => track.stop());
}

/** Why a camera can't be had, as the end of a text's key. */
export function cameraReason(error) {
  if (["NotAllowedError", "SecurityError"].includes(error.name)) return "refused";
  if (["NotFoundError", "OverconstrainedError"].includes(error.name)) return "none";
  return "busy";
}

/** Record until `stop` is called, the hands rest, or it takes too long.
 * @param preview a video element that shows the stream
 * @returns {{stop: () => void, ended: Promise<{blob: Blob, why: string}>}} */
export function record(stream, preview, { longestS, stopAtRest, onTick }) {
  const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each));
  const recorder = new MediaRecorder(stream, { mimeType: type, videoBitsPerSecond: BITS_PER_SECOND });
  const parts = [];
  let why = "button";
  const stop = (reason = "button") => {
    if (recorder.state === "inactive") return;
    why = reason;
    recorder.stop();
  };
  const ended = new Promise((resolve, reject) => {
    recorder.ondataavailable = (event) => event.data.size && parts.push(event.data);
    recorder.onerror = (event) => reject(event.error);
    recorder.onstop = () => resolve({ blob: new Blob(parts, { type: recorder.mimeType.split(";")[0] }), why });
  });
  recorder.start();
  const watched = watch(preview, { longestS, stopAtRest, onTick, stop });
  return { stop, ended: ended.finally(watched) };
}

function watch(preview, { longestS, stopAtRest, onTick, stop }) {
  const began = performance.now();
  const context = new OffscreenCanvas(WIDTH, HEIGHT).getContext("2d", { willReadFrequently: true });
  const rest = new RestWatch();
  const timer = setInterval(() => {
    const now = performance.now();
    onTick((now - began) / 1000);
    context.drawImage(preview, 0, 0, WIDTH, HEIGHT);
    const rests = rest.push(context.getImageData(0, 0, WIDTH, HEIGHT).data, now);
    if ((now - began) / 1000 >= longestS) stop("longest");
    else if (rests && stopAtRest()) stop("rest");
  }, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}

/** What a recording is called when it is sent. */
export function recordingName(blob) {
  return blob.type === "video/mp4" ? "take.mp4" : "take.webm";
}
