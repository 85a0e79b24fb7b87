// Notices that the hands, after they moved, rest.

export const WIDTH = 48;
export const HEIGHT = 36;

const CHANGED_LEVELS = 14; // of 255; below is what cameras make up themselves
const MOVING_SHARE = 0.012; // of the picture
const RESTING_SHARE = 0.006;
const MOVED_MS = 350; // this much movement counts as a sign
const REST_MS = 1200; // a held handshape is no rest yet

/** Feed it small pictures; says when the hands came to rest. */
export class RestWatch {
  #last = null;
  #lastMs = 0;
  #movedMs = 0;
  #restMs = 0;

  /** Whether the hands rest now, after they moved.
   * @param rgba the pixels of a WIDTH x HEIGHT picture
   * @param nowMs when it was taken */
  push(rgba, nowMs) {
    const grey = greyOf(rgba);
    if (this.#last) this.#count(changedShare(grey, this.#last), nowMs - this.#lastMs);
    this.#last = grey;
    this.#lastMs = nowMs;
    return this.#movedMs >= MOVED_MS && this.#restMs >= REST_MS;
  }

  #count(share, spentMs) {
    if (share >= MOVING_SHARE) this.#movedMs += spentMs;
    this.#restMs = share <= RESTING_SHARE ? this.#restMs + spentMs : 0;
  }
}

function greyOf(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < grey.length; i++) grey[i] = (rgba[4 * i] * 3 + rgba[4 * i + 1] * 6 + rgba[4 * i + 2]) / 10;
  return grey;
}

function changedShare(one, other) {
  let changed = 0;
  for (let i = 0; i < one.length; i++) if (Math.abs(one[i] - other[i]) > CHANGED_LEVELS) changed++;
  return changed / one.length;
}
