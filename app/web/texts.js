// Every text of the page, from one JSON file per language.

export const LANGUAGES = { en: "English", de: "Deutsch" };
const KEPT = "signdex-language";

let texts = {};
let language = "en";
let plurals;
let numbers;

/** Load the language of the visitor, or the one chosen before; the page says which it is, and the way it is written. */
export async function loadTexts() {
  language = chosen();
  texts = await (await fetch(`/web/texts/${language}.json`)).json();
  plurals = new Intl.PluralRules(language);
  numbers = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
  document.documentElement.lang = language;
  document.documentElement.dir = texts["page.dir"];
}

function chosen() {
  const kept = localStorage.getItem(KEPT);
  const wanted = [kept, ...navigator.languages.map((tag) => tag.split("-")[0].toLowerCase())];
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

export function currentLanguage() {
  return language;
}

/** Keep the visitor's choice; the page hears of it as the event `language`. */
export function chooseLanguage(tag) {
  localStorage.setItem(KEPT, tag);
  document.dispatchEvent(new Event("language"));
}

/** The text of a key, with `{name}` replaced. With a `num`, `KEY.one` or `KEY.other` is taken. */
export function t(key, values = {}) {
  const found = texts[key] ?? ("num" in values ? texts[`${key}.${plurals.select(values.num)}`] ?? texts[`${key}.other`] : undefined);
  if (found === undefined) throw new Error(`no text ${key}`);
  return found.replace(/\{(\w+)\}/g, (_, name) => format(values[name]));
}

export function has(key) {
  return key in texts;
}

function format(value) {
  return typeof value === "number" ? numbers.format(value) : String(value);
}

/** Seconds as people write them. */
export function seconds(value) {
  return t("unit.seconds", { value: Math.round(value * 10) / 10 });
}

export function date(iso) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(iso));
}

export function percent(share) {
  return new Intl.NumberFormat(language, { style: "percent" }).format(share);
}
