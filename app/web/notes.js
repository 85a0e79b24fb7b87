// A problem as a note on the page.

import { Problem, Unreachable } from "./api.js";
import { button, el } from "./dom.js";
import { has, t } from "./texts.js";

/** What went wrong and what can be done; `again` tries once more. */
export function problemNote(error, again) {
  const known = error instanceof Problem;
  if (!known && !(error instanceof Unreachable)) throw error;
  const kind = known ? error.kind : "unreachable";
  const text = has(`problem.${kind}`) ? t(`problem.${kind}`) : error.title ?? "";
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("strong", {}, t(known ? "problem.refused" : "problem.gone")),
    el("p", {}, text),
    known && el("p", { class: "detail" }, t("problem.reason"), " ", el("q", { lang: "en" }, error.detail)),
    again && button(t("problem.retry"), again, { drawing: "again" }),
  );
}
