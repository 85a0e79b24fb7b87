// Talking to the service: problems, waiting when it is busy or gone, and its events.

import { pause } from "./dom.js";

const GONE_WAITS_S = [1, 2, 3, 5, 8];
const LONGEST_BUSY_S = 30;

/** The service refused, and says why (RFC 9457). */
export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(document.detail);
    this.status = status;
    this.kind = document.type.split(":").at(-1);
    this.title = document.title;
    this.detail = document.detail;
    this.requestId = document.request_id;
    this.document = document;
    this.retryAfter = Number(retryAfter) || 1;
  }
}

/** Nobody answered. */
export class Unreachable extends Error {}

/** One request; gives the answer's JSON.
 * `json` or `form` is the body, `key` the admin's. */
export async function ask(path, options = {}) {
  return (await answered(path, options)).json();
}

async function answered(path, { method, json, form, key, signal } = {}) {
  const headers = {};
  if (json) headers["Content-Type"] = "application/json";
  if (key) headers.Authorization = `Bearer ${key}`;
  const body = json ? JSON.stringify(json) : form;
  let response;
  try {
    response = await fetch(path, { method: method ?? (body ? "POST" : "GET"), headers, body, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Unreachable(String(error));
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  if (response.headers.get("Content-Type") !== "application/problem+json") {
    // Not from the service: what stands before it answers for it.
    return new Unreachable(`${response.status} ${response.statusText}`);
  }
  return new Problem(response.status, await response.json(), response.headers.get("Retry-After"));
}

/** Do something until the service has time and is there.
 * `onWait(reason, seconds)` is told every second, `busy` or `gone`, and once with null when it goes on. */
export async function patiently(work, { signal, onWait }) {
  for (let attempt = 0; ; attempt++) {
    try {
      const result = await work();
      if (attempt) onWait(null, 0);
      return result;
    } catch (error) {
      const wait = waitOf(error, attempt);
      if (!wait || signal.aborted) throw error;
      for (let left = wait.seconds; left > 0; left--) {
        onWait(wait.reason, left);
        await pause(1000, signal);
      }
      onWait("trying", 0);
    }
  }
}

function waitOf(error, attempt) {
  if (error instanceof Unreachable || error.kind === "stopped") {
    return { reason: "gone", seconds: GONE_WAITS_S[Math.min(attempt, GONE_WAITS_S.length - 1)] };
  }
  if (["overloaded", "too-many-failures"].includes(error.kind)) {
    return { reason: "busy", seconds: Math.min(LONGEST_BUSY_S, Math.max(1, Math.ceil(error.retryAfter))) };
  }
  return null;
}

/** The data of server-sent events, one by one; `fetch` because an EventSource can't send a key. */
export async function* events(path, { key, signal }) {
  const response = await answered(path, { key, signal });
  let text = "";
  for await (const chunk of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
    text += chunk;
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (data.length) yield JSON.parse(data.map((line) => line.slice(5).trimStart()).join("\n"));
    }
  }
}

// Not every browser can walk through a stream itself.
async function* chunks(stream) {
  const reader = stream.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    reader.releaseLock();
  }
}

/** Where the service gives something of an entry. */
export function entryPath(id, what = "") {
  return `/v1/entries/${id.split("/").map(encodeURIComponent).join("/")}${what && `/${what}`}`;
}

const kept = new Map();

/** What does not change while the page is open, fetched once. */
export function askOnce(path) {
  if (!kept.has(path)) {
    const asked = ask(path);
    asked.catch(() => kept.delete(path));
    kept.set(path, asked);
  }
  return kept.get(path);
}
