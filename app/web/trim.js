// The strip under a take: pictures, how much the hands sign over time, and two handles.

import { el, svg } from "./dom.js";
import { picturesOf } from "./frames.js";
import { seconds, t } from "./texts.js";

const NUM_PICTURES = 8;
const STEP_S = 0.04;
const LONG_STEP_S = 0.4;
const SHORTEST_S = 0.2;
const CURVE = { width: 1000, height: 100 };

/** A strip for a take that was looked up. `onStretch` is called whenever a handle has moved.
 * @param windowS how long the encoder looks at once, which is what a point of activity says something of */
export class TrimStrip {
  constructor(take, windowS, onStretch) {
    this.take = take;
    this.onStretch = onStretch;
    this.durationS = take.whole.query.duration_s;
    take.stretch.end = Math.min(take.stretch.end, this.durationS);
    this.pictures = el("div", { class: "strip-pictures" });
    this.handles = { start: this.#handle("start"), end: this.#handle("end") };
    this.outside = { start: el("div", { class: "outside" }), end: el("div", { class: "outside" }) };
    this.kept = el("div", { class: "kept" });
    this.told = el("output", { class: "strip-told" });
    this.strip = el("div", { class: "strip" }, this.pictures, curve(take.whole.query.activity, this.durationS, windowS), this.outside.start, this.outside.end, this.kept, this.handles.start, this.handles.end);
    this.whole = el("button", { type: "button", class: "plain", click: () => this.#reset() }, t("trim.whole"));
    this.node = el(
      "div",
      { class: "trim", role: "group", "aria-label": t("trim.title") },
      el("div", { class: "trim-head" }, el("span", { class: "label" }, t("trim.title")), this.told, this.whole),
      this.strip,
      el("p", { class: "hint" }, t("trim.hint")),
    );
    this.#draw();
    this.#fill();
  }

  #handle(side) {
    const node = el("div", {
      class: `handle ${side}`, role: "slider", tabindex: 0, "aria-label": t(`trim.${side}`), "aria-orientation": "horizontal",
      keydown: (event) => this.#key(event, side),
      pointerdown: (event) => this.#grab(event, side),
    });
    return node;
  }

  async #fill() {
    const { take } = this;
    if (take.pictures === null) {
      const times = Array.from({ length: NUM_PICTURES }, (_, i) => ((i + 0.5) / NUM_PICTURES) * this.durationS);
      take.pictures = (await picturesOf(take.url, times)) ?? false;
      this.onPictures?.();
    }
    if (take.pictures) this.pictures.replaceChildren(...take.pictures.map(copied));
    else this.pictures.replaceChildren(el("span", {}, t("trim.nopictures")));
  }

  #grab(event, side) {
    event.preventDefault();
    const handle = this.handles[side];
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const move = (moved) => this.#move(side, this.#timeAt(moved.clientX));
    const end = () => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
  }

  #timeAt(clientX) {
    const box = this.strip.getBoundingClientRect();
    const share = (clientX - box.left) / box.width;
    return (document.documentElement.dir === "rtl" ? 1 - share : share) * this.durationS;
  }

  #key(event, side) {
    const forward = document.documentElement.dir === "rtl" ? -1 : 1;
    const step = event.shiftKey ? LONG_STEP_S : STEP_S;
    const steps = { ArrowRight: step * forward, ArrowLeft: -step * forward, ArrowUp: step, ArrowDown: -step, PageUp: LONG_STEP_S, PageDown: -LONG_STEP_S };
    const now = this.take.stretch[side];
    const ends = { Home: side === "start" ? 0 : this.take.stretch.start, End: side === "end" ? this.durationS : this.take.stretch.end };
    const wanted = event.key in steps ? now + steps[event.key] : ends[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    this.#move(side, wanted);
  }

  #move(side, time) {
    const { stretch } = this.take;
    const [low, high] = side === "start" ? [0, Math.max(0, stretch.end - SHORTEST_S)] : [Math.min(this.durationS, stretch.start + SHORTEST_S), this.durationS];
    const moved = Math.round(Math.min(high, Math.max(low, time)) * 1000) / 1000;
    if (moved === stretch[side]) return;
    stretch[side] = moved;
    this.#draw();
    this.onStretch();
  }

  #reset() {
    Object.assign(this.take.stretch, { start: 0, end: this.durationS });
    this.#draw();
    this.onStretch();
    this.handles.start.focus();
  }

  #draw() {
    const { start, end } = this.take.stretch;
    const share = { start: start / this.durationS, end: end / this.durationS };
    for (const side of ["start", "end"]) {
      const handle = this.handles[side];
      handle.style.insetInlineStart = `${share[side] * 100}%`;
      handle.setAttribute("aria-valuemin", 0);
      handle.setAttribute("aria-valuemax", this.durationS.toFixed(2));
      handle.setAttribute("aria-valuenow", this.take.stretch[side].toFixed(2));
      handle.setAttribute("aria-valuetext", seconds(this.take.stretch[side]));
    }
    this.outside.start.style.inlineSize = `${share.start * 100}%`;
    this.outside.end.style.inlineSize = `${(1 - share.end) * 100}%`;
    this.kept.style.insetInlineStart = `${share.start * 100}%`;
    this.kept.style.inlineSize = `${(share.end - share.start) * 100}%`;
    const whole = start === 0 && end === this.durationS;
    this.told.textContent = whole ? seconds(this.durationS) : t("trim.part", { start: seconds(start), end: seconds(end) });
    this.whole.hidden = whole;
  }
}

function copied(canvas) {
  const copy = el("canvas", { width: canvas.width, height: canvas.height, "aria-hidden": "true" });
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

/** The activity of the more active hand as an area over the strip, window by window at its middle. */
function curve(activity, durationS, windowS) {
  const half = windowS / 2;
  const points = activity.map(({ start_s: start, left, right }) => {
    const x = (Math.min(start + half, durationS) / durationS) * CURVE.width;
    return [x.toFixed(1), ((1 - Math.max(left, right)) * CURVE.height).toFixed(1)];
  });
  const [first, last] = [points[0], points.at(-1)];
  const line = `M0 ${first[1]}L${points.map((point) => point.join(" ")).join("L")}L${CURVE.width} ${last[1]}`;
  return svg(
    "svg",
    { class: "curve", viewBox: `0 0 ${CURVE.width} ${CURVE.height}`, preserveAspectRatio: "none", role: "img", "aria-label": told(activity, half) },
    svg("path", { class: "area", d: `${line}V${CURVE.height}H0Z` }),
    svg("path", { class: "line", d: line }),
  );
}

/** The curve in words: where the hands are busiest. */
function told(activity, half) {
  const strengths = activity.map(({ left, right }) => Math.max(left, right));
  const busiest = Math.max(...strengths);
  const busy = activity.filter((_, i) => strengths[i] >= busiest * 0.8);
  return t("trim.activity", { start: seconds(busy[0].start_s), end: seconds(busy.at(-1).start_s + 2 * half) });
}
