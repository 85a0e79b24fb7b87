"""Timing of a sign: phases, minimum-jerk progress, smoothing, smooth random motion."""

from dataclasses import dataclass

import numpy as np

from model.skeleton.rotations import Reals

SHORTEST_S, LONGEST_S = 1.2, 3.0
"""Least and greatest duration of a performance."""


@dataclass(frozen=True)
class Phases:
    """Frame numbers at which the phases of a sign begin; each ends where the next begins."""

    preparation: int
    stroke: int
    hold: int
    retraction: int
    rest: int
    num_frames: int

    @property
    def active(self) -> slice:
        """Stroke and hold: while the sign has its form."""
        return slice(self.stroke, self.retraction)

    @property
    def num_active(self) -> int:
        """Frames of stroke and hold."""
        return self.retraction - self.stroke


def plan_phases(seconds: tuple[float, float, float, float, float, float], fps: float) -> Phases:
    """Phases from the seconds of rest, preparation, stroke, hold, retraction and rest.

    A performance too short or too long is stretched or squeezed as a whole to `SHORTEST_S` or `LONGEST_S`.
    """
    total = sum(seconds)
    scale = np.clip(total, SHORTEST_S + 1.0 / fps, LONGEST_S - 1.0 / fps) / total
    ends = np.round(np.cumsum(seconds) * scale * fps).astype(int)
    ends = np.maximum.accumulate(np.maximum(ends, [1, 5, 9, 10, 15, 16]))
    return Phases(*(int(end) for end in ends))


def minimum_jerk(u: Reals) -> Reals:
    """Progress of a reaching hand, 0 to 1 over u from 0 to 1, at rest at both ends (Flash and Hogan, 1985)."""
    t = np.clip(u, 0.0, 1.0)
    return t**3 * (10.0 - 15.0 * t + 6.0 * t**2)


def smooth(values: Reals, sigma_frames: float) -> Reals:
    """A Gaussian average along the first axis, which neither leads nor lags; the ends count as going on for ever."""
    if sigma_frames <= 0 or len(values) < 2:
        return values
    reach = int(np.ceil(3.0 * sigma_frames))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_frames) ** 2)
    kernel /= kernel.sum()
    padded = np.concatenate([values[:1].repeat(reach, axis=0), values, values[-1:].repeat(reach, axis=0)])
    rows = np.arange(len(values))[:, None] + np.arange(2 * reach + 1)
    return np.tensordot(padded[rows], kernel, axes=([1], [0]))


def smooth_noise(rng: np.random.Generator, num_frames: int, channels: int, period_s: float, fps: float) -> Reals:
    """Slow random motion of about unit size, as a body standing still has: [T, channels].

    Args:
        rng: where the randomness comes from.
        num_frames: T.
        channels: how many independent ones.
        period_s: about how long it goes one way.
        fps: frames per second.
    """
    sigma = max(period_s * fps / 2.5, 0.5)
    reach = int(np.ceil(3.0 * sigma))
    noise = smooth(rng.standard_normal((num_frames + 2 * reach, channels)), sigma)[reach : reach + num_frames]
    motion: Reals = noise * np.sqrt(2.0 * np.sqrt(np.pi) * sigma)
    return motion
