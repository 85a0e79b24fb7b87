"""Bodies from the shared human meshes: whole, different, and shaped as asked."""

import dataclasses

import numpy as np
import pytest

from training.errors import AssetError
from training.synth.people.assets import AssetFolder
from training.synth.people.human_body import BodyLibrary, build_body, morph, target_factors
from training.synth.people.identity import random_identity
from training.synth.people.rig import BONE_NAMES, LEFT_HAND, RIGHT_HAND

pytestmark = pytest.mark.real


def person(seed):
    return random_identity(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def people(library):
    return [build_body(person(seed), library) for seed in range(6)]


def test_people_are_whole_and_of_human_size(people):
    for body in people:
        assert all(np.isfinite(part).all() for part in (body.vertices, body.normals, body.uv, body.weights))
        assert body.faces.max() < len(body.vertices)
        np.testing.assert_allclose(body.weights.sum(1), 1.0, atol=1e-5)
        assert body.vertices[:, 1].min() == pytest.approx(0.0, abs=0.02)
        assert 1.3 < body.rig.tails[body.rig.bone("head"), 1] < 2.1
        assert {part.kind for part in body.parts} >= {"skin", "eyes", "garment"}
        assert sum(part.num_faces for part in body.parts) == len(body.faces)


def test_no_two_people_are_alike(people):
    widths = [float(np.linalg.norm(body.rig.landmarks[0] - body.rig.landmarks[3])) for body in people]
    assert len(set(np.round(widths, 4))) == len(people)
    assert np.std(widths) > 0.005


def test_clothes_and_hair_sit_on_the_body(people, library):
    for seed, body in enumerate(people):
        raw = morph(person(seed), library)
        skin = raw[np.unique(library.base.faces[library.quads])]
        skin = (skin - (0, skin[:, 1].min(), 0)) / 10
        for part in body.parts[1:]:
            rows = np.unique(body.faces[part.first_face : part.first_face + part.num_faces])
            points = body.vertices[rows[:: max(1, len(rows) // 200)]]
            distance = np.linalg.norm(points[:, None] - skin[None, ::3], axis=2).min(1)
            assert np.median(distance) < 0.04, part.name
            assert distance.max() < 0.2, part.name


def test_keypoints_lie_in_hands_and_face(people):
    for body in people:
        skin = body.vertices[np.unique(body.faces[: body.parts[0].num_faces])]
        distance = np.linalg.norm(skin[None] - body.rig.landmarks[8:, None], axis=2).min(1)
        assert distance.max() < 0.03
        left, right = body.rig.landmarks[LEFT_HAND], body.rig.landmarks[RIGHT_HAND]
        np.testing.assert_allclose(left * (-1, 1, 1), right, atol=0.004)
        assert body.rig.landmarks[3, 0] > 0


def test_mixed_targets_sum_to_one_person():
    for seed in range(5):
        identity = person(seed)
        factors = dict(target_factors(identity))
        races = sum(share for name, share in factors.items() if name.startswith(("african", "asian", "caucasian")))
        builds = sum(share for name, share in factors.items() if name.startswith("universal"))
        assert races == pytest.approx(1.0)
        assert builds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("slider", "measure"),
    [
        ("hand_size", lambda body: np.ptp(body.rig.landmarks[LEFT_HAND], axis=0).max()),
        ("upper_arm_length", lambda body: np.linalg.norm(body.rig.landmarks[3] - body.rig.landmarks[4])),
        ("lower_arm_length", lambda body: np.linalg.norm(body.rig.landmarks[4] - body.rig.landmarks[5])),
        ("height", lambda body: body.rig.tails[body.rig.bone("head"), 1]),
        ("weight", lambda body: np.ptp(body.vertices[body.vertices[:, 1] > 0.9][:, 2])),
    ],
)
def test_a_slider_changes_what_it_is_called_after(library, slider, measure):
    average = dataclasses.replace(person(1), **{slider: 0.0})
    less, more = (build_body(dataclasses.replace(average, **{slider: value}), library) for value in (-0.9, 0.9))
    assert measure(less) < measure(build_body(average, library)) < measure(more)


def test_the_same_person_is_built_twice_alike(library):
    first, second = (build_body(person(4), library) for _ in range(2))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.textures, second.textures)


def test_every_bone_has_skin_to_move(library):
    moved = library.skin[np.unique(library.base.faces[library.quads])].sum(0)
    idle = {name for name, share in zip(BONE_NAMES, moved, strict=True) if share < 0.5}
    assert idle <= {"root", "eye.L", "eye.R", "head", "pelvis.L", "pelvis.R"}


def test_a_missing_texture_is_named(shared, tmp_path):
    for name in ("base.obj", "default.mhskel", "default_weights.mhw"):
        (tmp_path / name).symlink_to(shared / "bodies" / name)
    with pytest.raises(AssetError, match=r"targets/.* is missing; fetch it with"):
        build_body(person(0), BodyLibrary(AssetFolder(tmp_path)))
