// The learner's page: which view a path shows.

import { focusOn } from "./dom.js";
import { drawHeader, markPlace } from "./header.js";
import { SearchView } from "./search.js";
import { loadTexts, t } from "./texts.js";

const PLACES = [
  { pattern: /^\/$/, place: "/", open: () => (search ??= new SearchView()) },
  { pattern: /^\/browse$/, place: "/browse", open: async () => new (await import("./browse.js")).BrowseView() },
  { pattern: /^\/signs\/([^/]+)$/, place: "/browse", open: async ([, id]) => new (await import("./sign.js")).SignView(id) },
];

let search = null;
let view = null;
let turn = 0;

/** Show what the address names. */
async function show({ moved }) {
  const mine = ++turn;
  const { open, match, place } = placeOf(location.pathname);
  markPlace(place);
  const next = await open(match);
  await next.ready;
  if (mine !== turn) return; // one has gone on meanwhile
  if (view !== next) view?.left?.();
  view = next;
  document.getElementById("main").replaceChildren(next.node);
  next.entered?.();
  document.title = next.title.textContent ? t("page.title", { place: next.title.textContent }) : "Signdex";
  scrollTo(0, history.state?.scroll ?? 0);
  if (moved) focusOn(next.title);
}

function placeOf(path) {
  for (const { pattern, place, open } of PLACES) {
    const match = path.match(pattern);
    if (match) return { open, place, match };
  }
  return placeOf("/");
}

function go(address) {
  history.replaceState({ ...history.state, scroll: scrollY }, "");
  history.pushState({}, "", address);
  show({ moved: true });
}

function follow(event) {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || link.target) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash || !PLACES.some(({ pattern }) => pattern.test(url.pathname))) return;
  event.preventDefault();
  go(url.pathname + url.search);
}

function head() {
  drawHeader([["/", t("header.search")], ["/browse", t("header.browse")]]);
}

/** Everything is written anew; the takes and what was found for them stay. */
async function changeLanguage() {
  await loadTexts();
  head();
  search?.closed();
  search = null;
  await show({ moved: false });
  document.querySelector("#header .language").focus();
}

await loadTexts();
head();
document.addEventListener("language", changeLanguage);
history.scrollRestoration = "manual";
addEventListener("popstate", () => show({ moved: true }));
document.addEventListener("click", follow);
document.addEventListener("go", (event) => go(event.detail));
await show({ moved: false });
