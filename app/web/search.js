// Look a sign up by signing it: stage, takes, strip and results.

import { Problem, askOnce, patiently } from "./api.js";
import { announce, button, el, icon } from "./dom.js";
import { Results } from "./results.js";
import { Stage } from "./stage.js";
import { addTake, lookUp, numTogether, rankAgain, removeTake, state } from "./takes.js";
import { has, t } from "./texts.js";
import { TrimStrip } from "./trim.js";

/** The view; made once, so that results are as they were when one comes back. */
export class SearchView {
  #working = null; // the search that runs
  #ranking = null; // the answer whose query is looked up again
  #rankTimer = null;
  #results = null;

  constructor() {
    this.stage = new Stage({
      onTake: (blob, name) => this.#taken(blob, name, true),
      onProblem: (title, text) => this.#tell(title, text),
      onPhase: (phase) => this.#phase(phase),
    });
    this.picker = el("input", { type: "file", accept: "video/*,image/gif,.mkv,.avi,.mov", hidden: true, tabindex: -1, change: () => this.#picked() });
    this.choose = button(t("search.choose"), () => this.picker.click(), { drawing: "file" });
    this.problem = el("div", { class: "problem", role: "alert", hidden: true });
    this.work = el("div", { class: "work", hidden: true });
    this.takes = el("div", { class: "takes", role: "group", "aria-label": t("takes.title"), hidden: true });
    this.strip = el("div", { class: "strip-place" });
    this.found = el("div", { class: "found" }, intro());
    this.title = el("h1", {}, t("search.title"));
    this.node = el(
      "div",
      { class: "search", "data-phase": "start" },
      el(
        "section",
        { class: "capture", "aria-label": t("search.capture") },
        this.title,
        this.stage.frame,
        el("div", { class: "controls" }, this.stage.main, this.choose, this.picker),
        el("p", { class: "privacy" }, icon("done"), el("span", {}, t("search.privacy"))),
        this.stage.options,
        this.problem,
        this.work,
        this.takes,
        this.strip,
      ),
      this.found,
    );
    this.#acceptFiles();
  }

  /** Called when one comes to the view: a video that was out of the page stands still. */
  entered() {
    this.stage.resume();
    if (state.current && !this.#results) this.#select(state.current); // taken before the language was changed
  }

  /** Called when one leaves it. */
  left() {
    this.stage.close();
  }

  /** Called when another one takes its place. */
  closed() {
    this.#working?.abort();
    this.#ranking?.abort();
    this.stage.close();
  }

  #phase(phase) {
    this.node?.classList.toggle("filming", phase !== "off");
  }

  #acceptFiles() {
    const isHere = () => this.node.isConnected;
    const files = (event, transfer) => {
      const file = isHere() && transfer?.files[0];
      if (!file) return;
      event.preventDefault();
      this.#taken(file, file.name, false);
    };
    document.addEventListener("paste", (event) => files(event, event.clipboardData));
    document.addEventListener("drop", (event) => {
      this.node.classList.remove("dropping");
      files(event, event.dataTransfer);
    });
    document.addEventListener("dragover", (event) => {
      if (!isHere() || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      this.node.classList.add("dropping");
    });
    document.addEventListener("dragleave", (event) => !event.relatedTarget && this.node.classList.remove("dropping"));
  }

  #picked() {
    const [file] = this.picker.files;
    this.picker.value = "";
    if (file) this.#taken(file, file.name, false);
  }

  async #taken(blob, name, fromCamera) {
    this.stage.close();
    const take = addTake(blob, name, fromCamera);
    state.together = false;
    await this.#select(take);
  }

  /** Make a take the current one, and look it up where that was not done yet. */
  async #select(take) {
    state.current = take;
    state.together = false;
    this.node.dataset.phase = "results";
    this.#tell(null);
    this.stage.show(take);
    this.strip.replaceChildren();
    this.#drawTakes();
    if (take.whole) return this.#again(true);
    const answer = await this.#search(take);
    if (answer) await this.#show(answer, { fresh: true });
    return undefined;
  }

  /** Send the current take; waits while the service is busy or gone. Gives the answer, or nothing where there is none. */
  async #search(take) {
    this.#working?.abort();
    const working = (this.#working = new AbortController());
    const { signal } = working;
    this.#wait("looking", 0, take);
    try {
      this.#requireSize(take.blob, (await patiently(() => askOnce("/v1/info"), { signal, onWait: (reason, left) => this.#wait(reason, left, take) })).limits);
      return await patiently(() => lookUp(take, signal), { signal, onWait: (reason, left) => this.#wait(reason, left, take) });
    } catch (error) {
      if (signal.aborted) return null;
      this.#drop(take);
      this.#refused(error, take);
      return null;
    } finally {
      if (this.#working === working) this.#wait(null);
    }
  }

  #requireSize(blob, { max_upload_mb: limit }) {
    if (blob.size <= limit * 1e6) return;
    throw new Problem(413, { type: "upload-too-large", title: "", detail: t("problem.size", { size: blob.size / 1e6, limit }), request_id: "" });
  }

  // A take that was refused is of no use; the one before comes back, with its results.
  #drop(take) {
    removeTake(take);
    if (state.current) {
      this.stage.show(state.current);
      this.#drawStrip();
    } else {
      this.stage.show(null);
      this.node.dataset.phase = "start";
    }
    this.#drawTakes();
  }

  #refused(error, take) {
    if (!(error instanceof Problem)) throw error;
    const advice = `problem.${error.kind}`;
    this.#tell(t("problem.title", { name: take.fromCamera ? t("takes.name", { number: take.number }) : take.name }), has(advice) ? t(advice) : error.title, error.detail);
    this.stage.main.focus();
  }

  #tell(title, text = "", detail = "") {
    this.problem.hidden = title === null;
    this.problem.replaceChildren(
      ...(title === null ? [] : [el("strong", {}, title), el("p", {}, text), detail && el("p", { class: "detail" }, t("problem.reason"), " ", el("q", { lang: "en" }, detail))].filter(Boolean)),
    );
  }

  #wait(reason, left = 0, take = null) {
    const idle = reason === null;
    this.node.toggleAttribute("data-busy", !idle);
    this.found.setAttribute("aria-busy", !idle);
    if (idle) {
      this.work.hidden = true;
      return this.work.replaceChildren();
    }
    if (this.work.hidden) {
      this.work.hidden = false;
      this.said = el("span", {});
      this.work.replaceChildren(el("span", { class: "spinner", "aria-hidden": "true" }), this.said, button(t("work.cancel"), () => this.#cancel(take), { look: "plain" }));
    }
    const text = t(`work.${reason}`, { num: left });
    const changes = this.work.dataset.reason !== reason;
    this.work.dataset.reason = reason;
    this.said.textContent = text;
    if (changes) announce(text);
    return undefined;
  }

  #cancel(take) {
    this.#working?.abort();
    this.#wait(null);
    this.#drop(take);
    this.stage.main.focus();
  }

  async #show(answer, { fresh }) {
    const warnings = state.current.whole.query.warnings;
    if (fresh || !this.#results) {
      this.#results ??= new Results({ filters: state.filters, onFilter: (name, value) => this.#filter(name, value) });
      this.found.replaceChildren(this.#results.node);
      this.#drawTakes();
      await this.#drawStrip();
    }
    this.#results.show(answer, { fresh, warnings });
    this.node.dataset.latency = Math.round(answer.askedMs ?? 0);
  }

  async #drawStrip() {
    const take = state.current;
    if (!take?.whole || state.together) return this.strip.replaceChildren();
    const { encoder } = await askOnce("/v1/info");
    if (take !== state.current) return undefined;
    const strip = new TrimStrip(take, encoder.window_frames / encoder.fps, () => this.#soon());
    strip.onPictures = () => this.#drawTakes();
    return this.strip.replaceChildren(strip.node);
  }

  #drawTakes() {
    const { takes } = state;
    this.takes.hidden = takes.length < 2;
    const focused = this.takes.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.takes.replaceChildren(
      el("ul", {}, takes.map((take) => el("li", {}, this.#takeButton(take), el("button", {
        type: "button", class: "remove", "aria-label": t("takes.remove", { number: take.number }), "data-key": `remove ${take.number}`, click: () => this.#remove(take),
      }, icon("close"))))),
      ...(numTogether() > 1 ? [this.#togetherButton()] : []),
    );
    if (focused) (this.takes.querySelector(`[data-key="${focused}"]`) ?? this.stage.main).focus();
  }

  #takeButton(take) {
    const picture = take.pictures ? take.pictures[Math.floor(take.pictures.length / 2)] : null;
    const copy = picture && el("canvas", { width: picture.width, height: picture.height, "aria-hidden": "true" });
    copy?.getContext("2d").drawImage(picture, 0, 0);
    const pressed = state.together || take === state.current;
    return el(
      "button",
      { type: "button", class: "take", "aria-pressed": String(pressed), "data-key": `take ${take.number}`, title: take.name, click: () => this.#select(take) },
      copy, el("span", {}, t("takes.name", { number: take.number })),
    );
  }

  #togetherButton() {
    return button(t("takes.together", { num: numTogether() }), () => {
      state.together = !state.together;
      this.#drawTakes();
      this.#drawStrip();
      this.#again(true);
    }, { look: "toggle", drawing: "done", "aria-pressed": String(state.together), "data-key": "together" });
  }

  #remove(take) {
    const wasCurrent = take === state.current || state.together;
    removeTake(take);
    if (wasCurrent && state.current) this.#select(state.current);
    this.#drawTakes();
    announce(t("takes.removed", { number: take.number }));
  }

  #filter(name, value) {
    state.filters[name] = value;
    this.#again(true);
  }

  // While a handle is dragged one search follows the other, never two at once.
  #soon() {
    clearTimeout(this.#rankTimer);
    this.#rankTimer = setTimeout(() => (this.#ranking ? this.#soon() : this.#again(false)), 30);
  }

  /** Ask again with what is chosen now, without sending a video. */
  async #again(fresh) {
    if (!state.together && !state.current?.whole) return; // it is being looked up, with what is chosen now
    this.#ranking?.abort();
    const ranking = (this.#ranking = new AbortController());
    const { signal } = ranking;
    const began = performance.now();
    try {
      const answer = await patiently(() => rankAgain(signal), { signal, onWait: (reason, left) => this.#wait(reason === "trying" ? "looking" : reason, left, state.current) });
      if (signal.aborted) return;
      this.#tell(null);
      await this.#show({ ...answer, askedMs: performance.now() - began }, { fresh });
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      const advice = `problem.${error.kind}`;
      this.#tell(t("problem.again"), has(advice) ? t(advice) : error.title, error.detail);
    } finally {
      if (this.#ranking === ranking) this.#ranking = null;
    }
  }
}

function intro() {
  const field = el("input", { type: "search", name: "text", id: "word", placeholder: t("intro.word.example") });
  const go = (event) => {
    event.preventDefault();
    document.dispatchEvent(new CustomEvent("go", { detail: `/browse?text=${encodeURIComponent(field.value)}` }));
  };
  return el(
    "section",
    { class: "intro", "aria-labelledby": "how" },
    el("h2", { id: "how" }, t("intro.title")),
    el("ol", { class: "steps" }, ["one", "two", "three"].map((step) => el("li", {}, el("strong", {}, t(`intro.${step}`)), el("span", {}, t(`intro.${step}.more`))))),
    el("form", { class: "word", role: "search", submit: go }, el("label", { for: "word" }, t("intro.word")), el("div", { class: "row" }, field, el("button", { class: "button" }, icon("search"), el("span", {}, t("intro.word.go"))))),
  );
}
