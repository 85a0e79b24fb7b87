// Filters by language and tag, where there is something to choose.

import { askOnce } from "./api.js";
import { el } from "./dom.js";
import { t } from "./texts.js";

/** Selects for the values of the dictionary; `onChange(name, value)`. None where every entry has the same value. */
export async function filterSelects(chosen, onChange) {
  const [facets, info] = await Promise.all([askOnce("/v1/facets"), askOnce("/v1/info")]);
  const numEntries = info.dictionary?.num_entries ?? 0;
  document.body.toggleAttribute("data-one-language", facets.languages.length < 2);
  return [
    ["language", facets.languages],
    ["tag", facets.tags],
  ]
    .filter(([, values]) => values.length > 1 || (values.length === 1 && values[0].num_entries < numEntries))
    .map(([name, values]) => select(name, values, chosen[name], onChange));
}

function select(name, values, chosen, onChange) {
  return el(
    "select",
    { "aria-label": t(`filter.${name}`), "data-filter": name, change: (event) => onChange(name, event.target.value) },
    el("option", { value: "" }, t(`filter.${name}.all`)),
    values.map(({ value, num_signs: num }) => el("option", { value, selected: value === chosen }, t("filter.value", { value, count: num }))),
  );
}

/** A text without case and accents, as the service compares them. */
export function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().trim();
}
