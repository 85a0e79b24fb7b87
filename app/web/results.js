// The signs it could be.

import { hitCard, updateCard } from "./card.js";
import { clipSpeed, clipsPlay, setClipSpeed, setClipsPlay } from "./clip.js";
import { announce, button, el } from "./dom.js";
import { filterSelects, folded } from "./filters.js";
import { t } from "./texts.js";

const PAGE = 10;
const PAGES = 2;

/** The grid of hits with its filters. `onFilter(name, value)` asks the service again. */
export class Results {
  #answer = null;
  #shown = PAGE;
  #gaveUp = false;
  #text = "";
  #cards = new Map();

  constructor({ filters, onFilter }) {
    this.onFilter = onFilter;
    this.heading = el("h2", { id: "found" }, t("results.title"));
    this.told = el("span", { class: "told" });
    this.search = el("input", {
      type: "search", class: "narrow", placeholder: t("filter.text"), "aria-label": t("filter.text"),
      input: (event) => this.#narrow(event.target.value),
    });
    this.selects = el("span", { class: "selects" });
    this.bar = el("div", { class: "toolbar", role: "group", "aria-label": t("results.tools") }, this.search, this.selects, ...playTools());
    this.warning = el("p", { class: "warning", hidden: true });
    this.grid = el("ol", { class: "grid" });
    this.end = el("div", { class: "end" });
    this.node = el("section", { class: "results", "aria-labelledby": "found" }, el("div", { class: "results-head" }, this.heading, this.told), this.bar, this.warning, this.grid, this.end);
    filterSelects(filters, onFilter).then((selects) => this.selects.replaceChildren(...selects), () => {});
  }

  /** Show an answer; the order of tiles that stay changes without loading them again.
   * @param fresh of a new take, so that one begins at the top */
  show(answer, { fresh, warnings }) {
    this.#answer = answer;
    if (fresh) {
      this.#shown = PAGE;
      this.#gaveUp = false;
    }
    this.warning.hidden = !warnings.length;
    this.warning.replaceChildren(...warnings.map((text) => el("span", { lang: "en" }, text)));
    this.#draw();
    announce(this.#spoken());
  }

  #narrow(text) {
    this.#text = folded(text);
    this.#draw();
    announce(t("results.found", { num: this.#hits().length }));
  }

  #hits() {
    return this.#answer.hits.filter(({ sign }) => folded(sign.gloss).includes(this.#text));
  }

  #draw() {
    const hits = this.#hits();
    const shown = hits.slice(0, this.#shown);
    this.grid.replaceChildren(...shown.map((hit) => el("li", {}, this.#card(hit))));
    this.told.textContent = t("results.best", { num: shown.length });
    this.end.replaceChildren(...this.#ending(hits.length));
  }

  // A tile that was there before is used again, so that its video goes on.
  #card(hit) {
    const key = `${hit.sign.id} ${hit.entries[0].id}`;
    if (this.#cards.has(key)) updateCard(this.#cards.get(key), hit);
    else this.#cards.set(key, hitCard(hit));
    return this.#cards.get(key);
  }

  #ending(num) {
    if (!num) return [el("p", { class: "lead" }, t(this.#text || this.#filtered ? "results.nothing.filtered" : "results.nothing"))];
    if (this.#gaveUp) return [this.#notThere()];
    const more = this.#shown < PAGE * PAGES && num > this.#shown;
    return [button(t("results.none"), () => (more ? this.#more() : this.#giveUp()), { look: "wide" })];
  }

  get #filtered() {
    return [...this.selects.querySelectorAll("select")].some((select) => select.value);
  }

  #more() {
    const before = Math.min(this.#shown, this.#hits().length);
    this.#shown += PAGE;
    this.#draw();
    this.grid.children[before].querySelector("a").focus();
    announce(t("results.next", { num: this.grid.children.length - before }));
  }

  #giveUp() {
    this.#gaveUp = true;
    this.#draw();
    this.end.firstChild.focus();
  }

  #notThere() {
    return el(
      "div",
      { class: "notthere", tabindex: -1 },
      el("strong", {}, t("results.notthere")),
      el("p", {}, t("results.notthere.advice")),
      el("a", { class: "button", href: "/browse" }, t("results.notthere.browse")),
    );
  }

  #spoken() {
    const { hits } = this.#answer;
    if (!hits.length) return t("results.nothing");
    return t("results.spoken", { num: hits.slice(0, PAGE).length, first: hits[0].sign.gloss });
  }
}

/** Half speed, and holding all videos. */
export function playTools() {
  const half = toggle(t("results.half"), clipSpeed() === 0.5, (on) => setClipSpeed(on ? 0.5 : 1));
  const play = toggle(t("results.play"), clipsPlay(), setClipsPlay);
  return [half, play];
}

function toggle(label, on, change) {
  const node = button(label, () => {
    const now = node.getAttribute("aria-pressed") !== "true";
    node.setAttribute("aria-pressed", now);
    change(now);
  }, { look: "toggle", drawing: "done", "aria-pressed": String(on) });
  return node;
}
