// The editor's page: what is indexed, how good it is, and indexing again.

import { Problem, ask, entryPath, events } from "./api.js";
import { clipVideo } from "./clip.js";
import { announce, button, el, focusOn, pause } from "./dom.js";
import { drawHeader, markPlace } from "./header.js";
import { problemNote } from "./notes.js";
import { date, has, loadTexts, percent, seconds, t } from "./texts.js";

const KEY = "signdex-admin-key";
const PAIRS = 6;
const ASK_AGAIN_MS = 2000;

const main = document.getElementById("main");
const title = el("h1", {}, "");

await loadTexts();
drawHeader([["/", t("header.search")], ["/browse", t("header.browse")], ["/admin", t("header.admin")]]);
document.addEventListener("language", () => location.reload());
markPlace("/admin");
title.textContent = t("admin.title");
document.title = t("page.title", { place: t("admin.title") });
if (sessionStorage.getItem(KEY)) await open();
else askForKey();

/** As the admin. */
function asAdmin(path, options = {}) {
  return ask(path, { ...options, key: sessionStorage.getItem(KEY) });
}

function askForKey(error = null) {
  const field = el("input", { type: "password", id: "key", required: true, autocomplete: "current-password", "aria-describedby": "key-hint" });
  const enter = async (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, field.value.trim());
    await open();
  };
  main.replaceChildren(
    el("div", { class: "panel key" }, title, el("form", { submit: enter }, el("label", { for: "key" }, t("admin.key")), field, el("p", { class: "hint", id: "key-hint" }, t("admin.key.hint")), el("button", { class: "button primary" }, t("admin.enter"))), error && problemNote(error)),
  );
  field.focus();
}

/** Show everything, or ask for the key again where it is not the right one. */
async function open() {
  try {
    const [info, { snapshots }, { jobs }] = await Promise.all([ask("/v1/info"), asAdmin("/v1/snapshots"), asAdmin("/v1/jobs")]);
    draw(info, snapshots, jobs[0]);
  } catch (error) {
    if (error instanceof Problem && ["admin-key", "admin-closed"].includes(error.kind)) {
      sessionStorage.removeItem(KEY);
      askForKey(error);
    } else main.replaceChildren(title, problemNote(error, open));
  }
}

function leave() {
  sessionStorage.removeItem(KEY);
  askForKey();
}

function draw(info, snapshots, job) {
  const used = snapshots.find(({ id }) => id === info.dictionary?.snapshot_id);
  const reindex = reindexPanel(job);
  main.replaceChildren(
    el(
      "div",
      { class: "admin" },
      el("div", { class: "admin-head" }, title, button(t("admin.leave"), leave)),
      el("div", { class: "panels" }, statusPanel(info), reindex.node),
      ...(used ? [cardPanel(used), skippedPanel(used.report.skipped), nearPanel(used.report, info)] : []),
      snapshotsPanel(snapshots, info.dictionary?.snapshot_id),
    ),
  );
  if (job && !job.finished_at) reindex.follow(job);
}

/** Draw again what has changed, and stay where one was. */
async function refresh(message) {
  const top = scrollY;
  await open();
  scrollTo(0, top);
  if (!main.contains(document.activeElement)) focusOn(title);
  if (message) announce(message);
}

function panel(name, ...children) {
  return el("section", { class: `panel ${name}`, "aria-labelledby": `panel-${name}` }, el("h2", { id: `panel-${name}` }, t(`admin.${name}`)), ...children);
}

function figures(rows) {
  return el("dl", { class: "figures" }, rows.filter(Boolean).map(([label, value, look = ""]) => el("div", { class: look === "wide" ? "wide-figure" : "" }, el("dt", {}, label), el("dd", { class: look === "big" ? "big-number" : "" }, String(value)))));
}

function number(value) {
  return value.toLocaleString(document.documentElement.lang);
}

function statusPanel({ dictionary, encoder, version }) {
  const rows = dictionary
    ? [[t("admin.signs"), number(dictionary.num_signs), "big"], [t("admin.videos"), number(dictionary.num_entries), "big"], [t("admin.made"), date(dictionary.created_at)], [t("admin.version"), dictionary.snapshot_id]]
    : [];
  const trained = t(encoder.trained ? "admin.trained" : "admin.untrained");
  return panel(
    "status",
    dictionary ? null : el("p", { class: "lead" }, t("admin.empty")),
    figures([...rows, [t("admin.encoder"), `${encoder.id} · ${trained}`, "wide"], ["Signdex", version, "wide"]]),
    ...(dictionary?.notes ?? []).map((note) => el("p", { class: "warning", lang: "en" }, note)),
  );
}

function reindexPanel(last) {
  const place = el("div", { class: "place" });
  const buttons = ["missing", "full"].map((mode) => button(t(`admin.reindex.${mode}`), () => start(mode), { look: mode === "missing" ? "primary" : "", "data-mode": mode }));
  const busy = (is) => buttons.forEach((node) => node.setAttribute("aria-disabled", is));

  const start = async (mode) => {
    if (buttons[0].getAttribute("aria-disabled") === "true") return;
    busy(true);
    const started = asAdmin(`/v1/reindex?mode=${mode}`, { method: "POST" }).catch((error) => {
      if (error.kind !== "job-running") throw error;
      return asAdmin(`/v1/jobs/${error.document.job_id}`);
    });
    try {
      await follow(await started);
    } catch (error) {
      busy(false);
      place.replaceChildren(problemNote(error));
    }
  };

  const follow = async (job) => {
    busy(true);
    const live = liveJob(job.id);
    place.replaceChildren(live.node);
    announce(t("admin.reindex"));
    const ended = await watched(job, live).catch((error) => place.replaceChildren(problemNote(error)));
    busy(false);
    if (!ended) return;
    const message = endOf(ended);
    if (ended.state === "done") await refresh(message);
    else {
      place.replaceChildren(jobEnd(ended));
      announce(message);
    }
  };

  if (last?.finished_at) place.append(jobEnd(last));
  return { node: panel("reindex", el("p", { class: "hint" }, t("admin.reindex.hint")), el("div", { class: "controls" }, buttons), place), follow };
}

/** Show a job until it is over, asking again when the connection breaks; gives the job at its end. */
async function watched(job, live) {
  for (let now = job; ; ) {
    live.show(now);
    if (now.finished_at) return now;
    try {
      for await (now of events(`/v1/jobs/${job.id}/events`, { key: sessionStorage.getItem(KEY) })) live.show(now);
      now = await asAdmin(`/v1/jobs/${job.id}`);
    } catch (error) {
      if (error instanceof Problem) throw error;
      live.lost();
      await pause(ASK_AGAIN_MS);
    }
  }
}

function liveJob(id) {
  const bar = el("progress", { "aria-label": t("admin.reindex") });
  const line = el("p", { class: "job-line" });
  const stop = button(t("admin.cancel"), () => asAdmin(`/v1/jobs/${id}`, { method: "DELETE" }).catch((error) => line.replaceChildren(problemNote(error))), { drawing: "stop" });
  const show = ({ phase, done, total, eta_s: left, skipped }) => {
    if (total) bar.max = total;
    if (total) bar.value = done;
    else bar.removeAttribute("value");
    const key = `admin.phase.${phase}`;
    line.replaceChildren(
      el("strong", {}, t("admin.progress", { phase: has(key) ? t(key) : phase, done, total })),
      left ? el("span", {}, t("admin.eta", { left: seconds(left) })) : "",
      skipped.length ? el("span", {}, t("admin.skipped.sofar", { num: skipped.length })) : "",
    );
  };
  return { node: el("div", { class: "job" }, bar, line, el("div", { class: "controls" }, stop)), show, lost: () => (line.textContent = t("admin.lost")) };
}

function endOf({ state, snapshot_id: version }) {
  return t(`admin.state.${state}`, { version });
}

function jobEnd(job) {
  return el("div", { class: "job", "data-state": job.state }, el("p", {}, endOf(job), ` ${date(job.finished_at)}`), job.error && el("p", { class: "detail", lang: "en" }, job.error), job.state !== "done" && job.skipped.length ? skippedTable(job.skipped) : null);
}

function cardPanel({ id, report }) {
  const before = report.previous;
  const sum = Object.values(report.durations_s).reduce((total, spent) => total + spent, 0);
  const signed = (change) => (change > 0 ? `+${number(change)}` : number(change));
  const change = before ? t("admin.card.change.value", { signs: signed(report.signs - before.signs), entries: signed(report.entries - before.entries) }) : t("admin.card.first");
  const single = report.single_video_signs;
  return panel(
    "card",
    el("p", { class: "hint" }, t("admin.card.of", { version: id })),
    figures([
      [t("admin.signs"), number(report.signs), "big"],
      [t("admin.videos"), number(report.entries), "big"],
      [t("admin.card.skipped"), number(report.skipped.length), "big"],
      [t("admin.card.single"), number(single.num), "big"],
      [t("admin.card.near"), number(report.near_duplicates.num), "big"],
      [t("admin.card.check"), t("admin.card.check.value", { num: report.self_check.num_checked, total: report.self_check.of })],
      [t("admin.card.change"), change],
      [t("admin.card.cache"), `${number(report.cache.num_embedded)} / ${number(report.cache.num_cached)}`],
      [t("admin.card.time"), seconds(sum)],
      [t("admin.card.source"), report.source, "wide"],
    ]),
    ...report.cache.notes.map((note) => el("p", { class: "warning", lang: "en" }, note)),
    single.glosses.length ? el("details", {}, el("summary", {}, t("admin.card.single")), el("p", { class: "hint" }, single.glosses.join(", "), single.num > single.glosses.length ? ", …" : "")) : null,
  );
}

function skippedPanel(skipped) {
  return panel("skipped", skipped.length ? skippedTable(skipped) : el("p", { class: "hint" }, t("admin.skipped.none")));
}

function skippedTable(skipped) {
  const heads = ["file", "line", "reason"].map((name) => el("th", { scope: "col" }, t(`admin.skipped.${name}`)));
  const rows = skipped.map(({ video, line, reason }) => el("tr", {}, el("td", {}, video), el("td", { class: "number" }, line ?? ""), el("td", { lang: "en" }, reason)));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("admin.skipped") }, el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)));
}

function nearPanel({ near_duplicates: near, trained }) {
  const list = el("ul", { class: "pairs" });
  const more = button(t("admin.near.more"), () => add());
  const add = () => {
    const from = list.children.length;
    list.append(...near.pairs.slice(from, from + PAIRS).map(nearPair));
    more.hidden = list.children.length >= near.pairs.length;
  };
  add();
  if (!near.num) return panel("near", el("p", { class: "hint" }, t("admin.near.none")));
  return panel("near", el("p", { class: "hint" }, t("admin.near.hint")), trained ? null : el("p", { class: "warning" }, t("admin.near.untrained")), el("p", {}, t("admin.near.count", { num: near.num })), list, el("div", { class: "controls" }, more));
}

function nearPair({ ids, glosses, score, mirrored }) {
  return el(
    "li",
    {},
    el("div", { class: "pair" }, ids.map((id, i) => nearVideo(id, glosses[i]))),
    el("p", { class: "hint" }, t("card.score"), percent(score), mirrored ? ` · ${t("admin.near.mirrored")}` : ""),
  );
}

function nearVideo(id, gloss) {
  const picture = el("div", { class: "picture" });
  const name = el("figcaption", {}, el("strong", {}, gloss));
  ask(entryPath(id)).then(
    (entry) => {
      picture.append(clipVideo({ url: entry.video_url, poster: entry.thumbnail_url, label: t("card.video", { gloss }) }));
      name.replaceChildren(el("a", { href: `/signs/${entry.sign.id}` }, gloss), el("br"), entry.video);
    },
    () => name.append(el("br"), t("admin.near.gone")),
  );
  return el("figure", {}, picture, name);
}

function snapshotsPanel(snapshots, used) {
  if (!snapshots.length) return panel("snapshots", el("p", { class: "hint" }, t("admin.snapshots.none")));
  const heads = ["version", "made", "signs", "videos"].map((name) => el("th", { scope: "col" }, t(`admin.${name}`)));
  const rows = snapshots.map((snapshot) => el(
    "tr",
    { "data-snapshot": snapshot.id },
    el("td", {}, snapshot.id),
    el("td", {}, date(snapshot.created_at)),
    el("td", { class: "number" }, number(snapshot.counts.signs)),
    el("td", { class: "number" }, number(snapshot.counts.entries)),
    el("td", {}, snapshot.id === used ? el("strong", {}, t("admin.snapshots.current")) : button(t("admin.snapshots.use"), () => sure(snapshot), { "aria-label": t("admin.snapshots.use.named", { version: snapshot.id }) })),
  ));
  return panel("snapshots", el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("admin.snapshots") }, el("table", {}, el("thead", {}, el("tr", {}, heads, el("th", { scope: "col" }, t("admin.snapshots.action")))), el("tbody", {}, rows))));
}

/** Ask before another version is taken into use. */
function sure(snapshot) {
  const { id, created_at: made, counts } = snapshot;
  const question = el("dialog", { "aria-labelledby": "sure", close: () => question.remove() });
  const failed = el("div", {});
  const use = async (event) => {
    event.preventDefault();
    try {
      await asAdmin(`/v1/snapshots/${id}/activate`, { method: "POST" });
      question.close();
      await refresh(t("admin.snapshots.changed", { version: id }));
    } catch (error) {
      failed.replaceChildren(problemNote(error));
    }
  };
  question.append(el(
    "form",
    { submit: use },
    el("h2", { id: "sure" }, t("admin.snapshots.sure", { version: id })),
    el("p", {}, t("admin.snapshots.sure.more", { made: date(made), signs: counts.signs })),
    failed,
    el("div", { class: "controls" }, el("button", { class: "button primary" }, t("admin.snapshots.use")), button(t("admin.snapshots.keep"), () => question.close())),
  ));
  document.body.append(question);
  question.showModal();
}
