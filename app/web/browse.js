// The dictionary without a query: signs by gloss.

import { ask } from "./api.js";
import { signCard } from "./card.js";
import { announce, button, el } from "./dom.js";
import { filterSelects } from "./filters.js";
import { problemNote } from "./notes.js";
import { t } from "./texts.js";

const PAGE = 48;
const TYPING_MS = 150;

export class BrowseView {
  #asked = null;
  #timer = null;

  constructor() {
    const chosen = new URLSearchParams(location.search);
    this.chosen = { text: chosen.get("text") ?? "", language: chosen.get("language") ?? "", tag: chosen.get("tag") ?? "" };
    this.title = el("h1", {}, t("browse.title"));
    this.told = el("span", { class: "told" });
    this.field = el("input", {
      type: "search", class: "narrow", value: this.chosen.text, placeholder: t("browse.text"), "aria-label": t("browse.text"), autocomplete: "off",
      input: () => this.#typed(),
    });
    this.selects = el("span", { class: "selects" });
    this.grid = el("ul", { class: "grid" });
    this.end = el("div", { class: "end" });
    this.node = el(
      "div",
      { class: "browse" },
      el("div", { class: "results-head" }, this.title, this.told),
      el("div", { class: "toolbar", role: "search" }, this.field, this.selects),
      this.grid,
      this.end,
    );
    filterSelects(this.chosen, (name, value) => this.#choose(name, value)).then((selects) => this.selects.replaceChildren(...selects), () => {});
    this.ready = this.#load(0);
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#choose("text", this.field.value), TYPING_MS);
  }

  async #choose(name, value) {
    this.chosen[name] = value;
    const query = String(this.#query());
    history.replaceState(history.state, "", query ? `/browse?${query}` : "/browse");
    await this.#load(0);
    announce(this.told.textContent);
  }

  #query() {
    return new URLSearchParams(Object.entries(this.chosen).filter(([, value]) => value));
  }

  async #load(offset) {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const query = this.#query();
    query.set("limit", PAGE);
    query.set("offset", offset);
    try {
      const page = await ask(`/v1/signs?${query}`, { signal: asked.signal });
      this.#show(page);
    } catch (error) {
      if (asked.signal.aborted) return;
      this.grid.replaceChildren();
      this.told.textContent = "";
      this.end.replaceChildren(problemNote(error, () => this.#load(offset)));
    }
  }

  #show({ total, offset, signs }) {
    const cards = signs.map((sign) => el("li", {}, signCard(sign)));
    if (offset) this.grid.append(...cards);
    else this.grid.replaceChildren(...cards);
    const shown = offset + signs.length;
    this.told.textContent = t("browse.count", { num: total });
    const more = shown < total && button(t("browse.more"), () => this.#more(shown), { look: "wide" });
    this.end.replaceChildren(...(total ? [more].filter(Boolean) : [el("p", { class: "lead" }, t("browse.nothing"))]));
  }

  async #more(shown) {
    await this.#load(shown);
    this.grid.children[shown]?.querySelector("a").focus();
  }
}
