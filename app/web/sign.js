// A sign: its videos, one's own take beside them, and its look-alikes.

import { ask } from "./api.js";
import { caption, hitCard } from "./card.js";
import { clipVideo } from "./clip.js";
import { announce, button, el, icon, relabel } from "./dom.js";
import { problemNote } from "./notes.js";
import { playTools } from "./results.js";
import { state } from "./takes.js";
import { t } from "./texts.js";
import { together } from "./together.js";

const NUM_SIMILAR = 8;

export class SignView {
  constructor(id) {
    this.id = id;
    this.title = el("h1", {}, t("sign.title"));
    this.node = el("div", { class: "sign" });
    this.ready = this.#load();
  }

  left() {
    this.side?.stop();
  }

  async #load() {
    try {
      const sign = await ask(`/v1/signs/${this.id}`);
      this.title.textContent = sign.gloss;
      this.#show(sign);
    } catch (error) {
      this.node.replaceChildren(this.title, problemNote(error, () => this.#load()), el("p", {}, el("a", { class: "button", href: "/browse" }, t("header.browse"))));
      return;
    }
    this.#similar();
  }

  #show(sign) {
    const [first, ...others] = sign.entries;
    this.big = el("div", { class: "big" });
    this.others = el("div", { class: "others" });
    this.similar = el("section", { class: "similar", "aria-labelledby": "similar" });
    const tags = [...new Set(sign.entries.flatMap((entry) => entry.tags))];
    this.node.replaceChildren(
      back(),
      el("div", { class: "sign-head" }, this.title, el("div", { class: "facts" }, sign.language && el("span", { class: "tongue" }, sign.language), tags.map((tag) => el("span", { class: "tag" }, tag))), this.#share()),
      el("div", { class: "toolbar", role: "group", "aria-label": t("results.tools") }, ...playTools()),
      this.big,
      this.others,
      this.similar,
    );
    this.#choose(sign, first);
    if (others.length) this.#list(sign);
  }

  /** Show an entry large, beside the own take where there is one. */
  #choose(sign, entry) {
    this.side?.stop();
    this.side = null;
    const take = [state.current, ...state.takes].find((each) => each?.whole && each.pictures !== false);
    if (take) {
      this.side = together(take, entry, sign.gloss);
      this.big.replaceChildren(this.side.node);
    } else {
      const video = clipVideo({ url: entry.video_url, poster: entry.thumbnail_url, label: t("card.video", { gloss: sign.gloss }) });
      this.big.replaceChildren(el("figure", { class: "shown" }, el("div", { class: "picture" }, video), caption(entry)));
    }
  }

  #list(sign) {
    const buttons = sign.entries.map((entry, i) => {
      const video = clipVideo({ url: entry.video_url, poster: entry.thumbnail_url, label: "" });
      return el("li", {}, el("button", {
        type: "button", class: "card pick", "aria-pressed": String(i === 0),
        click: (event) => {
          buttons.forEach((item) => item.firstChild.setAttribute("aria-pressed", item.contains(event.currentTarget)));
          this.#choose(sign, entry);
        },
      }, el("div", { class: "picture" }, video), el("span", { class: "card-text" }, t("sign.video", { number: i + 1 }), entry.signer && ` · ${t("sign.signer", { signer: entry.signer })}`)));
    });
    this.others.replaceChildren(el("h2", {}, t("sign.videos", { num: sign.entries.length })), el("ul", { class: "grid small" }, buttons));
  }

  #share() {
    const copy = async () => {
      await navigator.clipboard.writeText(location.href).then(() => done("sign.copied"), () => done("sign.notcopied"));
    };
    const done = (key) => {
      relabel(node, t(key), "link");
      announce(t(key));
    };
    const node = button(t("sign.share"), copy, { drawing: "link" });
    return node;
  }

  async #similar() {
    const heading = el("h2", { id: "similar" }, t("sign.similar"));
    try {
      const { hits } = await ask(`/v1/signs/${this.id}/similar?k=${NUM_SIMILAR}`);
      if (hits.length) this.similar.replaceChildren(heading, el("ol", { class: "grid small" }, hits.map((hit) => el("li", {}, hitCard(hit)))));
    } catch (error) {
      this.similar.replaceChildren(heading, problemNote(error, () => this.#similar()));
    }
  }
}

function back() {
  const found = state.current ? ["/", "sign.back"] : ["/browse", "header.browse"];
  return el("p", { class: "back" }, el("a", { href: found[0] }, icon("back"), t(found[1])));
}
