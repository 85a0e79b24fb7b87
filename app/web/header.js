// The top of every page.

import { el } from "./dom.js";
import { LANGUAGES, chooseLanguage, currentLanguage, t } from "./texts.js";

/** Fill the header. `places` are [path, text] pairs. */
export function drawHeader(places) {
  const language = el(
    "select",
    { class: "language", "aria-label": t("header.language"), change: (event) => chooseLanguage(event.target.value) },
    Object.entries(LANGUAGES).map(([tag, name]) => el("option", { value: tag, lang: tag, selected: tag === currentLanguage() }, name)),
  );
  document.getElementById("header").replaceChildren(
    el("a", { class: "skip", href: "#main" }, t("header.skip")),
    el("a", { class: "brand", href: "/" }, el("img", { src: "/web/icon.svg", alt: "", width: 28, height: 28 }), el("span", {}, "Signdex")),
    el("nav", { "aria-label": t("header.places") }, places.map(([path, text]) => el("a", { href: path }, text))),
    language,
  );
  document.title = "Signdex";
}

/** Mark the place one is at. */
export function markPlace(path) {
  for (const link of document.querySelectorAll("#header nav a")) {
    if (link.getAttribute("href") === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
