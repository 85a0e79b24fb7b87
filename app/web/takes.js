// The visitor's takes of one sign, and what the service says of them. Nothing is kept beyond this page.

import { Problem, ask, askOnce } from "./api.js";

const MAX_TAKES = 6;

/** What is looked up, and how. */
export const state = {
  takes: [],
  current: null,
  together: false,
  filters: { language: "", tag: "" },
};

let numTaken = 0;

/** Put a video into the list as the current take. The oldest one makes room. */
export function addTake(blob, name, fromCamera) {
  const take = {
    number: ++numTaken,
    blob,
    name,
    fromCamera,
    url: URL.createObjectURL(blob),
    whole: null, // the answer to the whole video
    vector: null, // of the stretch that was looked up last
    stretch: { start: 0, end: Infinity },
    pictures: null, // canvases; false where this browser can't read the file
  };
  state.takes.push(take);
  if (state.takes.length > MAX_TAKES) removeTake(state.takes[0]);
  state.current = take;
  return take;
}

export function removeTake(take) {
  URL.revokeObjectURL(take.url);
  state.takes = state.takes.filter((other) => other !== take);
  if (state.current === take) state.current = state.takes.at(-1) ?? null;
  if (numTogether() < 2) state.together = false;
}

/** Takes that can be searched together. */
export function numTogether() {
  return state.takes.filter((take) => take.vector).length;
}

/** Send a take. */
export async function lookUp(take, signal) {
  const form = new FormData();
  form.append("video", take.blob, take.name);
  form.append("k", await numAsked());
  for (const [name, value] of Object.entries(state.filters)) if (value) form.append(name, value);
  const answer = await ask("/v1/search", { form, signal });
  take.whole = answer;
  take.vector = answer.vector;
  return answer;
}

/** Ask again for the current take and stretch, or all takes, without sending a video, unless the service forgot it. */
export async function rankAgain(signal) {
  if (state.together) return askVector({ vector: mean(state.takes.map((take) => take.vector).filter(Boolean)) }, signal);
  const take = state.current;
  let answer;
  try {
    answer = await askVector(asQuery(take), signal);
  } catch (error) {
    if (!(error instanceof Problem) || error.kind !== "query-unknown") throw error;
    await lookUp(take, signal);
    answer = await askVector(asQuery(take), signal);
  }
  take.vector = answer.vector;
  return answer;
}

function asQuery(take) {
  const { start, end } = take.stretch;
  const query = { query_id: take.whole.query_id };
  if (start > 0) query.start_s = start;
  if (end < take.whole.query.duration_s) query.end_s = end;
  return query;
}

async function askVector(query, signal) {
  const filters = Object.fromEntries(Object.entries(state.filters).filter(([, value]) => value));
  return ask("/v1/search/vector", { json: { ...query, ...filters, k: await numAsked() }, signal });
}

async function numAsked() {
  return (await askOnce("/v1/info")).limits.max_k;
}

function mean(vectors) {
  return vectors[0].map((_, i) => vectors.reduce((sum, vector) => sum + vector[i], 0) / vectors.length);
}
