// Building elements, and telling screen readers.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Functions among the properties are listeners, `false` and null leave an attribute out. */
export function el(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** An SVG element. */
export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const PATHS = {
  camera: "M3 8a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2zM15 11l6-3.500v9L15 13z",
  record: "M12 5.500a6.500 6.500 0 1 1 0 13 6.500 6.500 0 0 1 0-13z",
  stop: "M7 7h10v10H7z",
  again: "M5 12a7 7 0 1 0 2.300-5.200M5 4v4h4",
  file: "M12 16V5m-4.500 4L12 4.500 16.500 9M5 16v3h14v-3",
  close: "M7 7l10 10M17 7L7 17",
  play: "M8 5.500v13l10.500-6.500z",
  pause: "M8 6v12M16 6v12",
  link: "M10 14a4 4 0 0 0 5.700 0l3-3A4 4 0 0 0 13 5.300l-1 1M14 10a4 4 0 0 0-5.700 0l-3 3a4 4 0 0 0 5.700 5.700l1-1",
  mirror: "M12 4v16M9 8l-5 8h5zM15 8l5 8h-5z",
  back: "M14.500 6l-6 6 6 6",
  search: "M10.500 5a5.500 5.500 0 1 1 0 11 5.500 5.500 0 0 1 0-11zM15 15l4.500 4.500",
  done: "M5 12.500l4.500 4.500L19 7.500",
};

/** A drawing beside a text that says the same. */
export function icon(name) {
  return svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
  );
}

/** A button. */
export function button(label, onClick, { look = "", drawing = null, ...properties } = {}) {
  return el("button", { type: "button", class: `button ${look}`, click: onClick, ...properties }, drawing && icon(drawing), el("span", {}, label));
}

/** Change what a button says without losing the focus that is on it. */
export function relabel(node, label, drawing = null) {
  node.replaceChildren(...(drawing ? [icon(drawing)] : []), el("span", {}, label));
}

const SAID_MS = 5000;

/** Say something to screen readers, after what is being said. */
export function announce(text) {
  const line = el("p", {}, text);
  document.getElementById("announcer").append(line);
  setTimeout(() => line.remove(), SAID_MS);
}

/** Move the focus to something that usually has none. */
export function focusOn(node) {
  if (!node.hasAttribute("tabindex") && !node.matches("a, button, input, select")) node.setAttribute("tabindex", "-1");
  node.focus({ preventScroll: true });
}

export const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/** A promise that ends after some milliseconds, or with the signal's reason. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
