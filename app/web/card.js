// A sign as a tile: its video, its gloss, and how like the query it is.

import { clipVideo, playWhilePointedAt } from "./clip.js";
import { el, icon } from "./dom.js";
import { percent, t } from "./texts.js";

/** The tile of a hit. */
export function hitCard(hit) {
  const node = card({ sign: hit.sign, entry: hit.entries[0], autoplay: true });
  node.querySelector(".picture").append(el("span", { class: "rank" }));
  updateCard(node, hit);
  return node;
}

/** Say another rank and score on the tile of a hit; its video goes on. */
export function updateCard(node, hit) {
  node.querySelector(".rank").replaceChildren(el("span", { class: "unseen" }, t("card.rank")), String(hit.rank));
  node.querySelector(".mirrored")?.remove();
  if (hit.mirrored) node.querySelector(".picture").append(mirroredNote());
  const below = [scoreBar(hit.score), tongue(hit.sign), videosNote(hit.entries)];
  node.querySelector(".below").replaceChildren(...below.filter(Boolean));
}

/** The tile of a sign that is listed without a query; its video plays while one points at it. */
export function signCard(sign) {
  const { entries } = sign;
  return card({ sign, entry: entries[0], autoplay: false, below: [tongue(sign), videosNote(entries)] });
}

function tongue({ language }) {
  return language && el("span", { class: "tongue" }, language);
}

function videosNote(entries) {
  return entries.length > 1 && el("span", { class: "more" }, t("card.videos", { num: entries.length }));
}

function card({ sign, entry, autoplay, below = null }) {
  const video = clipVideo({ url: entry.video_url, poster: entry.thumbnail_url, label: t("card.video", { gloss: sign.gloss }), autoplay });
  const node = el(
    "a",
    { class: "card", href: `/signs/${sign.id}`, "data-sign": sign.id },
    el("div", { class: "picture" }, video),
    el("div", { class: "card-text" }, el("strong", { class: "gloss", title: sign.gloss }, sign.gloss), el("span", { class: "below" }, below)),
  );
  playWhilePointedAt(node, video);
  return node;
}

function scoreBar(score) {
  const share = Math.max(0, score);
  const bar = el("span", { class: "bar" });
  bar.style.setProperty("--share", share);
  return el("span", { class: "score" }, el("span", { class: "unseen" }, t("card.score")), bar, el("span", { class: "score-number" }, percent(share)));
}

function mirroredNote() {
  return el("span", { class: "mirrored", title: t("card.mirrored.long") }, icon("mirror"), t("card.mirrored"));
}

/** Who signs, under which licence, and where it comes from. */
export function caption(entry) {
  const link = /^https?:/.test(entry.url ?? "") && el("a", { href: entry.url, target: "_blank", rel: "noopener noreferrer" }, t("sign.source"));
  const parts = [entry.signer && t("sign.signer", { signer: entry.signer }), entry.licence && t("sign.licence", { licence: entry.licence }), link].filter(Boolean);
  return el("figcaption", {}, parts.flatMap((part, i) => (i ? [" · ", part] : [part])));
}
