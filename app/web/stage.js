// Where one records: the picture, the guide, the countdown and the button.

import { askOnce } from "./api.js";
import { loopStretch } from "./clip.js";
import { announce, button, el, icon, pause, reducedMotion, relabel, svg } from "./dom.js";
import { cameraReason, canRecord, closeCamera, openCamera, record, recordingName } from "./recorder.js";
import { t } from "./texts.js";

const COUNTDOWN_S = 3;
const LONGEST_S = 15;

/** The stage. `onTake(blob, name)` gets what was recorded, `onProblem(title, text)` why nothing was. */
export class Stage {
  #stream = null;
  #phase = "off"; // off, asking, live, countdown, recording
  #recording = null;
  #counting = null;
  #take = null;

  constructor({ onTake, onProblem, onPhase }) {
    this.onTake = onTake;
    this.onProblem = onProblem;
    this.onPhase = onPhase;
    this.preview = el("video", { class: "preview", playsinline: true, "aria-hidden": "true" });
    this.review = el("video", { class: "review", playsinline: true, hidden: true, "aria-label": t("stage.review") });
    for (const video of [this.preview, this.review]) video.muted = true;
    loopStretch(this.review, () => this.#take?.stretch ?? { start: 0, end: Infinity });
    this.review.addEventListener("error", () => this.#unplayable());
    this.count = el("div", { class: "count", "aria-hidden": "true" });
    this.clock = el("div", { class: "clock", "aria-hidden": "true" });
    this.note = el("p", { class: "stage-note" });
    this.frame = el("div", { class: "stage", "data-phase": "off" }, this.preview, this.review, guide(), this.count, this.clock, this.note);
    this.main = button(t("stage.open"), () => this.press(), { look: "primary large", drawing: "camera" });
    this.autoStop = el("input", { type: "checkbox", checked: true });
    this.options = el("label", { class: "check" }, this.autoStop, el("span", {}, t("stage.autostop")));
    document.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => document.hidden && this.close());
    this.#show("off");
  }

  get busy() {
    return this.#phase !== "off";
  }

  /** The one button: open the camera, begin, stop. After the first take one press does it all. */
  press() {
    if (this.#phase === "off") return this.open(Boolean(this.#take));
    if (this.#phase === "live") return this.#begin();
    if (this.#phase === "countdown") return this.#counting.abort();
    if (this.#phase === "recording") return this.#recording.stop();
    return undefined;
  }

  /** Turn the camera on, and begin at once where that is wished. */
  async open(atOnce = false) {
    if (!canRecord()) return this.onProblem(t("camera.title"), t(window.isSecureContext ? "camera.unable" : "camera.insecure"));
    this.#show("asking");
    try {
      this.#stream = await openCamera();
    } catch (error) {
      this.#show("off");
      return this.onProblem(t("camera.title"), t(`camera.${cameraReason(error)}`));
    }
    this.onProblem(null);
    this.#stream.getVideoTracks()[0].addEventListener("ended", () => this.close());
    this.preview.srcObject = this.#stream;
    await this.preview.play();
    this.#show("live");
    if (atOnce) return this.#begin();
    announce(t("stage.live"));
    return undefined;
  }

  /** Turn the camera off; what is being recorded is dropped. */
  close() {
    this.#counting?.abort();
    if (this.#recording) this.#recording.dropped = true;
    this.#recording?.stop();
    this.#release();
    if (this.#phase !== "off") this.#show("off");
  }

  /** Show a take, over and over; null shows none. */
  show(take) {
    this.#take = take;
    this.frame.classList.remove("unplayable");
    if (take?.blob.size) {
      this.review.src = take.url;
      this.review.controls = reducedMotion.matches;
      this.resume();
    } else this.review.removeAttribute("src");
    this.#show(this.#phase);
  }

  resume() {
    if (this.#take && !reducedMotion.matches) this.review.play().catch(() => {});
  }

  async #begin() {
    this.#counting = new AbortController();
    this.#show("countdown");
    try {
      await this.#countDown(this.#counting.signal);
    } catch {
      if (this.#phase === "countdown") this.#show("live");
      return;
    }
    const { max_video_s: limitS } = (await askOnce("/v1/info").catch(() => ({ limits: { max_video_s: LONGEST_S } }))).limits;
    this.#recording = record(this.#stream, this.preview, {
      longestS: Math.min(LONGEST_S, limitS - 1),
      stopAtRest: () => this.autoStop.checked,
      onTick: (spent) => (this.clock.textContent = t("stage.clock", { spent: spent.toFixed(1) })),
    });
    this.#show("recording");
    await this.#finish(this.#recording);
  }

  async #finish(recording) {
    try {
      const { blob, why } = await recording.ended;
      if (recording.dropped) return;
      announce(t(`stage.stopped.${why}`));
      this.#release();
      this.#show("off");
      this.onTake(blob, recordingName(blob));
    } catch {
      this.close();
      this.onProblem(t("camera.title"), t("camera.broken"));
    }
  }

  async #countDown(signal) {
    for (let left = COUNTDOWN_S; left > 0; left--) {
      this.count.textContent = left;
      announce(String(left));
      await pause(1000, signal);
    }
  }

  #release() {
    if (this.#stream) closeCamera(this.#stream);
    this.#stream = null;
    this.#recording = null;
    this.preview.srcObject = null;
  }

  #key(event) {
    if (!this.frame.isConnected) return;
    const stops = event.key === "Escape" || (event.key === " " && !event.target.closest?.("button, input, select, a, [role=slider]"));
    if (!stops || !["countdown", "recording"].includes(this.#phase)) return;
    event.preventDefault();
    this.press();
  }

  #show(phase) {
    this.#phase = phase;
    this.frame.dataset.phase = phase;
    this.count.hidden = phase !== "countdown";
    this.clock.hidden = phase !== "recording";
    this.preview.hidden = !["live", "countdown", "recording"].includes(phase);
    this.review.hidden = phase !== "off" || !this.#take;
    const hint = { asking: "stage.asking", live: "stage.live", off: this.#take ? null : "stage.empty" }[phase];
    this.note.textContent = hint ? t(hint) : "";
    const off = this.#take ? ["stage.again", "again"] : ["stage.open", "camera"];
    const [label, drawing] = { off, asking: ["stage.asking.button", "camera"], live: ["stage.record", "record"], countdown: ["stage.cancel", "close"], recording: ["stage.stop", "stop"] }[phase];
    relabel(this.main, t(label), drawing);
    this.main.classList.toggle("recording", phase === "recording");
    this.main.setAttribute("aria-disabled", phase === "asking");
    this.onPhase(phase);
  }

  #unplayable() {
    if (!this.review.getAttribute("src")) return;
    this.frame.classList.add("unplayable");
    this.note.textContent = t("stage.unplayable", { name: this.#take.name });
  }
}

function guide() {
  return svg(
    "svg",
    { class: "guide", viewBox: "0 0 400 300", "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" },
    svg("ellipse", { cx: 200, cy: 88, rx: 40, ry: 50 }),
    svg("path", { d: "M176 132v16c0 10-8 15-22 20-34 12-52 26-58 62l-10 70M224 132v16c0 10 8 15 22 20 34 12 52 26 58 62l10 70" }),
    svg("rect", { class: "space", x: 62, y: 22, width: 276, height: 262, rx: 26 }),
  );
}
