"""A sign performed by one body: rest, preparation, stroke, hold, retraction, rest.

All is worked out for a signer who leads with the left hand; one who leads with the right is that signer's mirror image.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.encoder import Floats
from model.skeleton.kinematics import mirror_points
from model.skeleton.rotations import Reals, pitch_yaw_roll, unit
from training.synth.kinematics.arms import Arm, measure_arm, pose_arm
from training.synth.kinematics.body_locations import find_location
from training.synth.kinematics.collisions import push_forearm_out, push_out
from training.synth.kinematics.hands import LIMITS, NUM_FINGER_ANGLES, finger_frames, hand_points, named_angles
from training.synth.kinematics.posed_body import PosedBody
from training.synth.kinematics.retarget import (
    PosedArm,
    bone_turns,
    girth_of,
    local_rotations,
    mirror_rig,
    mirror_rotations,
    mirror_transforms,
    mirror_turns,
    posed_points,
    with_right_arm,
)
from training.synth.language.handshapes import FINGER_ROWS, HANDSHAPES
from training.synth.language.phonology import LOCATIONS, Sign
from training.synth.motion.feasibility import check_sign
from training.synth.motion.hand_placement import (
    SKIN_M,
    BodySide,
    HandTrajectory,
    clear_of_shoulder,
    extend_last_frame,
    intended_location,
    intended_palm,
    keep_to_own_half,
    no_movement,
    place_base,
    place_hand,
)
from training.synth.motion.stroke import SECONDS, Stroke, make_stroke
from training.synth.motion.style import SignerStyle, random_style
from training.synth.motion.timing import Phases, minimum_jerk, plan_phases, smooth, smooth_noise
from training.synth.people.rig import Performance, Rig, pose_bones, pose_landmarks

__all__ = ["SignerStyle", "perform", "random_style"]

_FINGER_LAG = np.array([0.00, 0.03, 0.06, 0.09, 0.02])
"""Delay of each finger (index, middle, ring, little, thumb), as a share of the preparation."""

_FOREARM_SHARES = np.array([0.3, 0.6, 0.85])[:, None]
"""Points of the forearm that are kept out of the body, shares of the way from elbow to wrist."""


@dataclass(frozen=True)
class MeasuredSigner:
    """A rig and a style, and what follows from the two."""

    rig: Rig
    style: SignerStyle
    arms: tuple[Arm, Arm]
    """The leading (left) one, and the other one mirrored to a left one."""
    girth: Reals
    fps: float


def perform(sign: Sign, rig: Rig, style: SignerStyle, rng: np.random.Generator, fps: float = 25.0) -> Performance:
    """One sign as one signer performs it, once.

    Args:
        sign: what to perform.
        rig: whose body.
        style: how this signer signs.
        rng: what differs from one time to the next.
        fps: frames per second.

    Returns:
        a performance of 1.2 to 3 seconds.

    Raises:
        SignError: the sign is impossible; the parameter is named.
    """
    check_sign(sign)
    if style.leading == "right":
        mirrored = _perform(sign, mirror_rig(rig), style, rng, fps)
        gaze = None if mirrored.gaze is None else mirrored.gaze * np.array([-1.0, 1.0], np.float32)
        return replace(mirrored, rotations=mirror_rotations(rig, mirrored.rotations), gaze=gaze)
    return _perform(sign, rig, style, rng, fps)


def _perform(sign: Sign, rig: Rig, style: SignerStyle, rng: np.random.Generator, fps: float) -> Performance:
    """`perform` for a signer who leads with the left hand."""
    signer = measure_signer(rig, style, fps)
    phases = _plan(sign, style, rng, fps)
    trunk = _trunk_rotations(signer, sign, phases, rng)
    transforms = pose_bones(rig, trunk.astype(np.float32)).astype(float)
    posed_body = PosedBody(pose_landmarks(rig, transforms.astype(np.float32)).astype(float), signer.girth)
    carrier = transforms[:, rig.bone("spine01")]
    mirrored = PosedBody(mirror_points(posed_body.points), posed_body.girth)
    right_side = BodySide(signer.arms[1], mirrored, mirror_transforms(carrier), style, fps)
    other = _pose(right_side, _other_track(right_side, sign, phases, rng))
    posed_body = replace(
        posed_body, points=with_right_arm(posed_body.points, posed_points(other)), other_arm_known=True
    )
    left_side = BodySide(signer.arms[0], posed_body, carrier, style, fps)
    lead = _pose(left_side, _leading_track(left_side, sign, phases, rng))
    gaze, mouth = _face(signer, phases, rng)
    return Performance(
        rotations=local_rotations(rig, trunk, bone_turns(lead), mirror_turns(bone_turns(other))),
        fps=fps,
        gloss=sign.gloss,
        gaze=gaze,
        mouth_open=mouth,
        active=phases.active,
    )


def measure_signer(rig: Rig, style: SignerStyle, fps: float) -> MeasuredSigner:
    """The build of a signer's arms and trunk."""
    landmarks = rig.landmarks.astype(float)
    left = measure_arm(landmarks, rig.heads[rig.bone("clavicle.L")])
    right = measure_arm(mirror_points(landmarks), rig.heads[rig.bone("clavicle.R")] * np.array([-1.0, 1.0, 1.0]))
    return MeasuredSigner(rig, style, (left, right), girth_of(rig), fps)


def _plan(sign: Sign, style: SignerStyle, rng: np.random.Generator, fps: float) -> Phases:
    stroke = SECONDS[sign.movement.kind][int(sign.movement.repeated)]
    usual = np.array([style.rest_s, 0.40, stroke, 0.16, 0.44, style.rest_s]) / style.speed
    varied = usual * np.exp(0.10 * style.jitter * np.clip(rng.standard_normal(6), -2, 2))
    rest, preparation, stroke, hold, retraction, rest_after = (float(seconds) for seconds in varied)
    return plan_phases((rest, preparation, stroke, hold, retraction, rest_after), fps)


# ---------------------------------------------------------------------------------------------------- trunk and face


def _trunk_rotations(signer: MeasuredSigner, sign: Sign, phases: Phases, rng: np.random.Generator) -> Reals:
    """[T, J, 3, 3] local rotations of spine, neck and head: posture, unrest, and a little going along with the sign."""
    style, T = signer.style, phases.num_frames
    engaged = _engagement(phases)
    trunk = np.array(style.lean_deg) + 0.7 * style.jitter * smooth_noise(rng, T, 3, 0.8, signer.fps)
    head = np.array(style.head_deg) + 1.3 * style.jitter * smooth_noise(rng, T, 3, 0.5, signer.fps)
    nod, turn, tilt = rng.uniform(0.0, 5.0), rng.uniform(-2.0, 7.0), rng.uniform(-3.0, 3.0)
    region = LOCATIONS[sign.location].region
    trunk += engaged[:, None] * np.array([1.5 if region == "space" else 0.5, rng.uniform(-1.0, 3.0), 0.0])
    head += engaged[:, None] * np.array([nod, turn * (region != "head"), tilt])
    rotations = np.broadcast_to(np.eye(3), (T, len(signer.rig.names), 3, 3)).copy()
    for names, degrees in (
        (("spine04", "spine03", "spine02", "spine01"), trunk),
        (("neck01", "neck02", "neck03", "head"), head),
    ):
        part = pitch_yaw_roll(np.deg2rad(degrees) / len(names))
        for name in names:
            rotations[:, signer.rig.bone(name)] = part
    return rotations


def _engagement(phases: Phases) -> Reals:
    """[T] 0 at rest to 1 while signing."""
    frames = np.arange(phases.num_frames)
    rise = minimum_jerk((frames - phases.preparation) / max(phases.stroke - phases.preparation, 1))
    return rise - minimum_jerk((frames - phases.retraction) / max(phases.rest - phases.retraction, 1))


def _face(signer: MeasuredSigner, phases: Phases, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Gaze [T, 2], mostly at whoever watches with a glance at the hand, and mouth [T], moving with the sign."""
    T = phases.num_frames
    wander = np.deg2rad(1.5) * smooth_noise(rng, T, 2, 0.4, signer.fps)
    glance = _engagement(phases)[:, None] * np.deg2rad([rng.uniform(0.0, 6.0), rng.uniform(-8.0, 2.0)])
    speech = np.clip(0.25 + 0.5 * smooth_noise(rng, T, 1, 0.12, signer.fps)[:, 0], 0.0, 1.0)
    mouth = signer.style.mouthing * 0.6 * speech * _engagement(phases)
    return (wander + glance).astype(np.float32), mouth.astype(np.float32)


# ------------------------------------------------------------------------------------------------------------- hands


def _leading_track(side: BodySide, sign: Sign, phases: Phases, rng: np.random.Generator) -> HandTrajectory:
    active = _signing(side, sign, phases, opposed=False)
    both = sign.arrangement in ("SYMMETRIC", "ALTERNATING")
    return _whole_track(side, active, phases, rng, own_half=both)


def _other_track(side: BodySide, sign: Sign, phases: Phases, rng: np.random.Generator) -> HandTrajectory:
    """The other hand: doing the same, holding still as a base, or idle."""
    if sign.arrangement in ("SYMMETRIC", "ALTERNATING"):
        active = _signing(side, sign, phases, opposed=sign.arrangement == "ALTERNATING")
        return _whole_track(side, active, phases, rng, own_half=True)
    if sign.arrangement == "ON-BASE" or LOCATIONS[sign.location].base:
        return _whole_track(side, _base(side, sign, phases), phases, rng)
    return _rest_track(side, rng)


def _signing(side: BodySide, sign: Sign, phases: Phases, *, opposed: bool) -> HandTrajectory:
    """Stroke and hold of a hand that carries the sign's form."""
    now = side.during(phases.active)
    moving = phases.hold - phases.stroke
    stroke = make_stroke(sign.movement, moving, amplitude=side.style.amplitude, opposed=opposed)
    stroke = extend_last_frame(stroke, phases.num_active)
    fingers = _finger_angles(side, sign.handshape, stroke)
    place = intended_location(side.style, find_location(sign.location, now.posed_body), now.posed_body)
    both = sign.arrangement in ("SYMMETRIC", "ALTERNATING")
    touching = LOCATIONS[sign.location].touchable
    palm = intended_palm(now.style, now.posed_body.trunk, sign.orientation)
    return place_hand(now, place, palm, stroke, fingers, touching=touching, own_half=both)


def _base(side: BodySide, sign: Sign, phases: Phases) -> HandTrajectory:
    now = side.during(phases.active)
    fingers = _finger_angles(side, sign.base_handshape or "FLAT-HAND", no_movement(phases.num_active))
    return place_base(now, LOCATIONS[sign.location], fingers)


def _finger_angles(side: BodySide, handshape: str, stroke: Stroke) -> Reals:
    """[n, 21] of a handshape on its way to or from its partner, in the signer's own style."""
    hand, style = side.arm.hand, side.style
    shape = named_angles(hand, handshape)
    partner = named_angles(hand, HANDSHAPES[handshape].partner or handshape)
    angles = shape + stroke.shut[:, None] * (partner - shape)
    angles = angles + style.laxness * (named_angles(hand, "REST") - angles) * ~_touching_columns(handshape)
    angles[:, [0, 4, 8, 12]] += stroke.wiggle
    held: Reals = np.clip(angles + np.deg2rad(style.finger_deg) * ~_touching_columns(handshape), *LIMITS.T)
    return held


def _touching_columns(handshape: str) -> NDArray[np.bool_]:
    """[21] the angles of fingers that meet the thumb: these stay as they are, or the tips would part."""
    touches = HANDSHAPES[handshape].touches
    columns = np.zeros(NUM_FINGER_ANGLES, bool)
    if touches:
        columns[16:] = True
        columns[4 * FINGER_ROWS[touches] : 4 * FINGER_ROWS[touches] + 4] = True
    return columns


# -------------------------------------------------------------------------------------------- from rest to rest again


def _rest_track(side: BodySide, rng: np.random.Generator) -> HandTrajectory:
    """A hand that does nothing, at every moment."""
    return _kept_out(side, _restless(side, _idle(side), rng))


def _idle(side: BodySide) -> HandTrajectory:
    """Trajectory of an idle hand, in this signer's style."""
    posed_body, arm, T = side.posed_body, side.arm, len(side.carrier)
    shoulder = side.carrier[..., :3] @ arm.shoulder + side.carrier[..., 3]
    if side.style.rest == "sides":
        wrist = shoulder + posed_body.trunk @ (arm.length * np.array([0.17, -0.955, 0.13]))
        hold, swivel = np.deg2rad([15.0, 6.0, 0.0]), np.deg2rad(28.0)
    else:
        front = posed_body.girth[-3:, 0].max() + 0.06
        wrist = posed_body.shoulders + posed_body.trunk @ np.array(
            [0.24 * posed_body.width, -1.42 * posed_body.width, front]
        )
        hold, swivel = np.deg2rad([35.0, 8.0, 0.0]), np.deg2rad(38.0)
    swivel = swivel + np.deg2rad(side.style.elbow_out_deg)
    fingers = named_angles(arm.hand, "REST") + np.deg2rad(side.style.finger_deg)
    return HandTrajectory(
        wrist, np.full(T, swivel), np.tile(hold, (T, 1)), np.tile(np.clip(fingers, *LIMITS.T), (T, 1))
    )


def _whole_track(
    side: BodySide, active: HandTrajectory, phases: Phases, rng: np.random.Generator, *, own_half: bool = False
) -> HandTrajectory:
    """Rest, the way to the sign, the sign, the way back, rest."""
    idle = _idle(side)
    frames = np.arange(phases.num_frames)
    there = (frames - phases.preparation) / (phases.stroke - phases.preparation)
    back = 1.0 - (frames - phases.retraction + 1) / (phases.rest - phases.retraction)
    u = np.where(frames < phases.stroke, there, np.where(frames < phases.retraction, 1.0, back))
    nearest = np.clip(frames - phases.stroke, 0, phases.num_active - 1)
    goal = HandTrajectory(active.wrist[nearest], active.swivel[nearest], active.hold[nearest], active.fingers[nearest])
    track = HandTrajectory(
        wrist=_curved(side, idle.wrist, goal.wrist, minimum_jerk(u)),
        swivel=idle.swivel + minimum_jerk(u) * (goal.swivel - idle.swivel),
        hold=idle.hold + minimum_jerk(1.08 * u)[:, None] * (goal.hold - idle.hold),
        fingers=idle.fingers + _finger_progress(u) * (goal.fingers - idle.fingers),
    )
    return _kept_out(side, _restless(side, track, rng), own_half=own_half)


def _curved(side: BodySide, start: Reals, end: Reals, progress: Reals) -> Reals:
    """From one point to another in an arc that swings out from the body, as arms do."""
    way = np.linalg.norm(end - start, axis=-1, keepdims=True)
    bulge = side.posed_body.trunk @ unit(np.array([0.35, 0.0, 0.95]))
    height = 0.16 * way * (4.0 * progress * (1.0 - progress))[:, None]
    way_there: Reals = start + progress[:, None] * (end - start) + height * bulge
    return way_there


def _finger_progress(u: Reals) -> Reals:
    """[T, 21] how far each finger is: the hand is formed before it arrives, one finger a little after the other."""
    lag = np.concatenate([_FINGER_LAG[:4].repeat(4), _FINGER_LAG[4:].repeat(5)])
    return minimum_jerk((u[:, None] - lag) / 0.88)


def _restless(side: BodySide, track: HandTrajectory, rng: np.random.Generator) -> HandTrajectory:
    """The same with the small inaccuracies of muscles."""
    T, jitter, fps = len(track.wrist), side.style.jitter, side.fps
    return HandTrajectory(
        track.wrist + 0.0022 * jitter * smooth_noise(rng, T, 3, 0.25, fps),
        track.swivel + np.deg2rad(1.2) * jitter * smooth_noise(rng, T, 1, 0.5, fps)[:, 0],
        track.hold + np.deg2rad(1.3) * jitter * smooth_noise(rng, T, 3, 0.3, fps),
        np.clip(
            track.fingers + np.deg2rad(0.8) * jitter * smooth_noise(rng, T, NUM_FINGER_ANGLES, 0.3, fps), *LIMITS.T
        ),
    )


def _kept_out(side: BodySide, track: HandTrajectory, *, own_half: bool = False) -> HandTrajectory:
    """The same with the wrist moved where hand or forearm would be inside the body, eased so that nothing jumps."""
    points = hand_points(side.arm.hand, track.fingers)
    wrist = track.wrist
    for sigma in (3.0, 2.0, 1.5, 1.0, 0.7, 0.7):
        posed = pose_arm(side.arm, side.carrier, wrist, track.swivel, track.hold)
        wrist = wrist + smooth(clear_of_shoulder(side, posed.shoulder, wrist), sigma)
        posed = pose_arm(side.arm, side.carrier, wrist, track.swivel, track.hold)
        hand = posed.wrist[:, None] + np.einsum("tab,tkb->tka", posed.palm, points)
        push = push_out(side.posed_body, hand, 0.8 * SKIN_M) + (
            keep_to_own_half(side.posed_body, hand) if own_half else 0.0
        )
        forearm = posed.elbow[:, None] + _FOREARM_SHARES * (posed.wrist - posed.elbow)[:, None]
        aside = push_forearm_out(side.posed_body, forearm)
        push = np.where(np.any(push != 0.0, axis=-1, keepdims=True), push, aside)
        # Eased, a push is spread over its neighbours in time and falls short; half again makes up for it.
        wrist = posed.wrist + smooth(1.5 * push, sigma)
    return replace(track, wrist=wrist)


def _pose(side: BodySide, track: HandTrajectory) -> PosedArm:
    """The arm and fingers that follow a track."""
    pose = pose_arm(side.arm, side.carrier, track.wrist, track.swivel, track.hold)
    return PosedArm(side.arm, pose, finger_frames(side.arm.hand, track.fingers))
