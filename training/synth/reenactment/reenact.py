"""Re-enactment: MediaPipe's landmarks of a real clip drive another body's rig.

World landmarks give the directions of upper arms and forearms, head and trunk; hand landmarks give the frame of the
palm and the direction of every finger bone, each turned as little as possible from the bone before it. Only directions
are taken: lengths are the rig's own. What the detector missed for a moment is bridged, what it missed for long is
a hand at rest; everything is smoothed without lag.
"""

from dataclasses import dataclass, replace

import numpy as np

from model.skeleton.kinematics import mirror_points
from model.skeleton.rotations import Reals, cross, frame_from, pitch_yaw_roll, turn, unit
from training.synth.kinematics.arms import (
    HOLD_LIMITS,
    Arm,
    ArmPose,
    arm_frames,
    held,
    hold_of,
    raise_shoulder,
)
from training.synth.kinematics.collisions import push_out
from training.synth.kinematics.hands import Hand, finger_frames, named_angles, palm_frame, thumb_frame
from training.synth.kinematics.posed_body import PosedBody
from training.synth.kinematics.retarget import (
    MIRROR_X,
    PosedArm,
    bone_turns,
    local_rotations,
    mirror_transforms,
    mirror_turns,
    nearest_rotations,
    posed_points,
)
from training.synth.motion.hand_placement import SKIN_M
from training.synth.motion.perform import MeasuredSigner, measure_signer
from training.synth.motion.style import SignerStyle
from training.synth.motion.timing import smooth
from training.synth.people.rig import Performance, Rig, pose_bones, pose_landmarks
from training.synth.reenactment.clip_landmarks import LEFT_ARM, RIGHT_ARM, ClipLandmarks

MAX_GAP_S = 0.5
"""Longest gap of a missing hand that is interpolated."""
SMOOTHING_S = 0.03
"""Standard deviation of the Gaussian over time: about the detector's own jitter."""
_WIDER = 1.3
"""A clip may hold a hand beyond the usual limits by this factor, since its forearm's depth is only estimated."""
# Least and greatest bend, then sway, of a finger's three bones and of the thumb's.
_FINGER_LIMITS = np.deg2rad([[(-35, 105), (-35, 35)], [(-15, 120), (-18, 18)], [(-25, 95), (-18, 18)]])
_THUMB_LIMITS = np.deg2rad([[(-30, 80), (-20, 75)], [(-40, 75), (-35, 35)], [(-35, 90), (-25, 25)]])


# ------------------------------------------------------------------------------------------------------ re-enactment


def reenact(clip: ClipLandmarks, rig: Rig, gloss: str, *, smoothing_s: float = SMOOTHING_S) -> Performance:
    """A clip as another body performs it, at the clip's own frame rate.

    Args:
        clip: the landmarks.
        rig: whose body.
        gloss: what the clip shows.
        smoothing_s: standard deviation of the Gaussian over time, seconds; 0 leaves the detector's jitter.

    Returns:
        a performance of as many frames as the clip has.
    """
    signer = measure_signer(rig, SignerStyle(jitter=0.0), clip.fps)
    sigma = smoothing_s * clip.fps
    body = smooth(_bridged(clip.body), sigma)
    trunk = _trunk_rotations(signer, body, clip.fps)
    transforms = pose_bones(rig, trunk.astype(np.float32))
    posed_body = PosedBody(pose_landmarks(rig, transforms).astype(float), signer.girth)
    carrier = transforms[:, rig.bone("spine01")].astype(float)
    mirrored = PosedBody(mirror_points(posed_body.points), posed_body.girth)
    arm = _ClipArm(body[:, LEFT_ARM], clip.left, clip.fps, sigma)
    left = _posed_arm(signer.arms[0], carrier, posed_body, arm)
    arm = _ClipArm(body[:, RIGHT_ARM] * MIRROR_X, clip.right * MIRROR_X, clip.fps, sigma)
    right = _posed_arm(signer.arms[1], mirror_transforms(carrier), mirrored, arm)
    rotations = local_rotations(rig, trunk, bone_turns(left), mirror_turns(bone_turns(right)))
    return Performance(rotations, clip.fps, gloss)


def _bridged(values: Reals, longest_frames: int | None = None) -> Reals:
    """Gaps filled in a straight line, and held at the ends: [T, ...] NaN where unknown.

    Args:
        values: known in at least one frame.
        longest_frames: longer gaps stay unknown, and so do the ends; None fills all.
    """
    flat = values.reshape(len(values), -1)
    known = ~np.isnan(flat).any(axis=1)
    frames, rows = np.arange(len(flat)), np.flatnonzero(known)
    filled = np.stack([np.interp(frames, rows, flat[rows, column]) for column in range(flat.shape[1])], axis=-1)
    if longest_frames is not None:
        before = np.maximum.accumulate(np.where(known, frames, -len(flat)))
        after = np.minimum.accumulate(np.where(known, frames, 2 * len(flat))[::-1])[::-1]
        filled[after - before - 1 > longest_frames] = np.nan
    return filled.reshape(values.shape)


def _trunk_rotations(signer: MeasuredSigner, body: Reals, fps: float) -> Reals:
    """[T, J, 3, 3] spine, neck and head as they turn from how they mostly are; that is taken for facing the camera."""
    across, up = body[:, 11] - body[:, 12], body[:, [11, 12]].mean(axis=1) - body[:, [23, 24]].mean(axis=1)
    trunk = _from_usual(_upright(across, up), 0.08 * fps)
    ears, nose = body[:, 7] - body[:, 8], body[:, 0] - body[:, [7, 8]].mean(axis=1)
    head = _from_usual(frame_from(unit(ears), nose), 0.06 * fps)
    rotations = np.broadcast_to(np.eye(3), (len(body), len(signer.rig.names), 3, 3)).copy()
    spine = np.clip(_angles(trunk), -np.deg2rad(15.0), np.deg2rad(15.0))
    neck = np.clip(_angles(np.swapaxes(trunk, -1, -2) @ head), -np.deg2rad(40.0), np.deg2rad(40.0))
    for names, angles in (
        (("spine04", "spine03", "spine02", "spine01"), spine),
        (("neck01", "neck02", "neck03", "head"), neck),
    ):
        for name in names:
            rotations[:, signer.rig.bone(name)] = pitch_yaw_roll(angles / len(names))
    return rotations


def _upright(across: Reals, up: Reals) -> Reals:
    """The frame with x along the shoulders and y near the spine."""
    x = unit(across)
    z = unit(cross(x, up))
    return np.stack([x, cross(z, x), z], axis=-1)


def _from_usual(frames: Reals, sigma_frames: float) -> Reals:
    """Turn of every frame from their median, smoothed: [T, 3, 3]."""
    calm = smooth(frames, sigma_frames)
    usual = nearest_rotations(np.median(calm, axis=0))
    return nearest_rotations(calm) @ usual.T


def _angles(turns: Reals) -> Reals:
    """Pitch forward, yaw to the left and roll to the right, for `pitch_yaw_roll`: [T, 3]."""
    yaw = np.arctan2(turns[:, 0, 2], turns[:, 2, 2])
    pitch = np.arcsin(np.clip(-turns[:, 1, 2], -1.0, 1.0))
    roll = -np.arctan2(turns[:, 1, 0], turns[:, 1, 1])
    return np.stack([pitch, yaw, roll], axis=-1)


@dataclass(frozen=True)
class _ClipArm:
    """A left arm as the clip shows it."""

    joints: Reals
    """[T, 3, 3] shoulder, elbow, wrist."""
    hand: Reals
    """[T, 21, 3], NaN where missing."""
    fps: float
    sigma: float
    """Frames to smooth over."""


def _posed_arm(arm: Arm, carrier: Reals, posed_body: PosedBody, clip: _ClipArm) -> PosedArm:
    """A left arm that points as the clip's does.

    Args:
        arm: the rig's.
        carrier: [T, 3, 4] transform of the rig's trunk.
        posed_body: the rig's body.
        clip: what to do.
    """
    upper, fore = (unit(clip.joints[:, row + 1] - clip.joints[:, row]) for row in (0, 1))
    reach = (arm.upper * upper + arm.fore * fore) / arm.length
    girdle, shoulder = raise_shoulder(arm, carrier, upper, reach)
    elbow = shoulder + arm.upper * upper
    wrist = elbow + arm.fore * fore
    # An elbow that hardly bends points back, out and down.
    upper_frame, fore_frame = arm_frames(shoulder, elbow, wrist, arm.length * np.array([0.03, -0.02, -0.05]))
    hold, fingers = _hand_pose(arm, fore_frame, clip)
    pose = ArmPose(girdle, shoulder, elbow, wrist, upper_frame, fore_frame, held(fore_frame, hold), hold)
    posed = PosedArm(arm, pose, fingers)
    push = smooth(push_out(posed_body, posed_points(posed)[:, 3:], 0.5 * SKIN_M), clip.sigma)
    return _moved(posed, push) if np.abs(push).max() > 1e-4 else posed


def _moved(posed: PosedArm, push: Reals) -> PosedArm:
    """The same arm with its wrist moved a little: both bones turn as far as that takes."""
    arm, pose = posed.arm, posed.pose
    wrist = pose.wrist + push
    reach = wrist - pose.shoulder
    distance = np.clip(np.linalg.norm(reach, axis=-1), 0.3 * arm.length, 0.999 * arm.length)
    axis = unit(reach)
    along = (distance**2 + arm.upper**2 - arm.fore**2) / (2.0 * distance)
    away = pose.elbow - pose.shoulder
    spoke = unit(away - (away * axis).sum(axis=-1, keepdims=True) * axis)
    height = np.sqrt(np.maximum(arm.upper**2 - along**2, 0.0))
    elbow = pose.shoulder + along[:, None] * axis + height[:, None] * spoke
    wrist = pose.shoulder + distance[:, None] * axis
    frames = arm_frames(pose.shoulder, elbow, wrist, arm.length * np.array([0.03, -0.02, -0.05]))
    return replace(posed, pose=replace(pose, elbow=elbow, wrist=wrist, upper_frame=frames[0], fore_frame=frames[1]))


# -------------------------------------------------------------------------------------------------------------- hands


def _hand_pose(arm: Arm, fore_frame: Reals, clip: _ClipArm) -> tuple[Reals, Reals]:
    """Hold of the clip's hand [T, 3] and the frames of its fingers [T, 5, 3, 3, 3], at rest where it is missing."""
    hand, num_frames = clip.hand, len(clip.hand)
    resting = finger_frames(arm.hand, named_angles(arm.hand, "REST")[None])[..., 1]
    rest = np.concatenate([np.deg2rad([20.0, 5.0, 0.0]), _finger_turns(arm.hand, resting).reshape(-1)])
    values = np.tile(rest, (num_frames, 1))
    known = ~np.isnan(hand[:, :, 0]).any(axis=1)
    if known.any():
        palm = palm_frame(hand)
        hold = np.clip(_unwrapped(hold_of(fore_frame, palm)), *(_WIDER * HOLD_LIMITS.T))
        steps = unit(np.diff(hand[:, 1:].reshape(num_frames, 5, 4, 3), axis=2))
        turns = _finger_turns(arm.hand, np.einsum("tba,tfkb->tfka", palm, steps))
        seen = np.concatenate([hold, turns.reshape(num_frames, -1)], axis=-1)
        values = _eased_to_rest(_bridged(seen, round(MAX_GAP_S * clip.fps)), rest, clip.fps)
    values = smooth(values, clip.sigma)
    return values[:, :3], _frames_of(arm.hand, values[:, 3:].reshape(num_frames, 5, 3, 2))


def _unwrapped(hold: Reals) -> Reals:
    """Pronation counted on past half a turn towards the nearer limit, where noise makes it jump: [T, 3]."""
    pronation = np.where(hold[:, 0] > np.deg2rad(160.0), hold[:, 0] - 2.0 * np.pi, hold[:, 0])
    return np.concatenate([pronation[:, None], hold[:, 1:]], axis=-1)


def _finger_turns(hand: Hand, directions: Reals) -> Reals:
    """Bend and sway of every finger bone against the one before, limited to what fingers do: [T, 5, 3, 2] radians.

    Args:
        hand: the build whose metacarpals the first bones are measured against.
        directions: [T, 5, 3, 3] unit, in the palm's frame: thumb, index, middle, ring and little finger.
    """
    turns = np.empty((*directions.shape[:3], 2))
    frames = np.broadcast_to(_bases(hand), (len(directions), 5, 3, 3))
    for bone in range(3):
        x, y, z = np.moveaxis(np.einsum("tfba,tfb->tfa", frames, directions[:, :, bone]), -1, 0)
        found = np.stack([np.arctan2(z, y), np.arctan2(-x, np.hypot(y, z))], axis=-1)
        turns[:, 0, bone] = np.clip(found[:, 0], *_THUMB_LIMITS[bone].T)
        turns[:, 1:, bone] = np.clip(found[:, 1:], *_FINGER_LIMITS[bone].T)
        frames = _next_frames(frames, turns, bone)
    return turns


def _frames_of(hand: Hand, turns: Reals) -> Reals:
    """Frames of the finger bones in the palm's frame: the inverse of `_finger_turns`, [T, 5, 3, 3, 3]."""
    frames = np.empty((*turns.shape[:-1], 3, 3))
    carrier = np.broadcast_to(_bases(hand), (len(turns), 5, 3, 3))
    for bone in range(3):
        carrier = frames[:, :, bone] = _next_frames(carrier, turns, bone)
    return frames


def _bases(hand: Hand) -> Reals:
    """[5, 3, 3] what the first bones are measured against: the palm for the thumb, its metacarpal for each finger."""
    return np.concatenate([np.eye(3)[None], hand.rays])


def _next_frames(frames: Reals, turns: Reals, bone: int) -> Reals:
    following = frames @ turn(turns[:, :, bone, 0], turns[:, :, bone, 1])
    if bone == 0:
        following[:, 0] = thumb_frame(following[:, 0, :, 1], 0.0)
    return following


def _eased_to_rest(seen: Reals, rest: Reals, fps: float) -> Reals:
    """Unknown frames filled with the hand at rest, eased into over a fifth of a second."""
    known = ~np.isnan(seen[:, 0])
    if known.all():
        return seen
    nearest = _bridged(seen)
    distance = np.abs(np.arange(len(seen))[:, None] - np.flatnonzero(known)[None]).min(axis=1)
    share = np.clip(distance / (0.2 * fps), 0.0, 1.0)[:, None]
    # Between two sightings a hand changes from one to the other only as far as it is not at rest.
    eased: Reals = nearest + share * (rest - nearest)
    return eased
