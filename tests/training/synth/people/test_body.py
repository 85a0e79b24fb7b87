"""Putting meshes together and thinning them, against shapes whose answer is known."""

import numpy as np
import pytest

from training.synth.people.body import crease_shade, split_quads, strongest_bones, vertex_normals
from training.synth.people.garments import carry_weights, covered, fit_garment, visible_faces
from training.synth.people.makehuman_files import Fit
from training.synth.render.mesh_simplification import coarse_faces, simplify_mesh


def sphere(rows=24, columns=32, radius=1.0):
    v, u = np.meshgrid(np.linspace(0.05, np.pi - 0.05, rows), np.arange(columns) / columns * 2 * np.pi, indexing="ij")
    points = np.stack([np.sin(v) * np.cos(u), np.cos(v), -np.sin(v) * np.sin(u)], -1)[::-1].reshape(-1, 3) * radius
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    quads = np.stack([a, b, b + columns, a + columns], -1).reshape(-1, 4)
    return points.astype(np.float32), split_quads(quads)


def test_normals_of_a_sphere_point_away_from_its_middle():
    points, triangles = sphere()
    assert ((vertex_normals(points, triangles) * points).sum(1) > 0.97).all()


def test_quads_become_two_triangles_and_doubled_corners_one():
    assert split_quads(np.array([[0, 1, 2, 3], [4, 5, 6, 6]])).tolist() == [[0, 1, 2], [0, 2, 3], [4, 5, 6]]


def test_a_dent_is_darker_than_the_ball_around_it():
    points, triangles = sphere()
    height = points @ [0, 0, 1]
    pressed = points * (1 - 0.5 * np.exp(-((1 - height) / 0.06))[:, None])
    shade = crease_shade(pressed, vertex_normals(pressed, triangles), triangles, rounds=2)
    assert shade[height > 0.97].mean() < 0.9
    assert (shade[height < 0] == 1.0).all()


def test_the_four_strongest_bones_share_all_the_weight():
    skin = np.array([[0.1, 0.4, 0.05, 0.3, 0.15]], np.float32)
    bones, weights = strongest_bones(skin)
    assert set(bones[0]) == {0, 1, 3, 4}
    np.testing.assert_allclose(weights.sum(1), 1.0)
    assert dict(zip(bones[0], weights[0], strict=True))[1] == pytest.approx(0.4 / 0.95)


HAT = Fit(
    corners=np.array([[0, 1, 2]]),
    weights=np.array([[0.5, 0.25, 0.25]], np.float32),
    offsets=np.array([[0.1, 0.2, 0.4]], np.float32),
    scales=((0, 1, 2.0), (0, 2, 1.0), (0, 1, 1.0)),
    hidden=np.array([1]),
)


def test_a_garment_hangs_on_three_vertices_and_its_offset_grows_with_the_body():
    body = np.array([[0, 0, 0], [4, 0, 1], [0, 3, 0]], np.float32)
    # By hand: 0.5 a + 0.25 b + 0.25 c = (1, 0.75, 0.25); scales 4/2, 3/1, 1/1.
    np.testing.assert_allclose(fit_garment(HAT, body), [[1 + 0.2, 0.75 + 0.6, 0.25 + 0.4]], rtol=1e-6)


def test_a_garment_moves_with_the_bones_of_its_three_vertices():
    skin = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    np.testing.assert_allclose(carry_weights(HAT, skin), [[0.5, 0.5]])


def test_a_face_is_hidden_only_when_all_its_corners_are():
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    assert visible_faces(faces, np.array([0, 1, 2]), 4).tolist() == [False, True]


def test_skin_under_cloth_is_covered_and_bare_skin_is_not():
    points, triangles = sphere()
    normals = vertex_normals(points, triangles)
    cap = points[points[:, 1] > 0.3] * 1.05
    under = covered(points, normals, cap, reach=0.15, outward=0.02)
    assert under[points[:, 1] > 0.35].all()
    assert not under[points[:, 1] < 0.1].any()


def test_thinning_keeps_the_shape_with_fewer_triangles(figure):
    thinned = simplify_mesh(figure, 0.012)
    assert len(thinned.faces) < 0.8 * len(figure.faces)
    assert sum(part.num_faces for part in thinned.parts) == len(thinned.faces)
    np.testing.assert_allclose(thinned.vertices.min(0), figure.vertices.min(0), atol=0.012)
    np.testing.assert_allclose(thinned.vertices.max(0), figure.vertices.max(0), atol=0.012)
    assert (thinned.layers[thinned.faces].min(1) == thinned.layers[thinned.faces].max(1)).all()
    assert simplify_mesh(figure, 0.0) is figure


def test_fingers_stay_apart_when_a_mesh_is_thinned(figure):
    thinned = simplify_mesh(figure, 0.02)
    strongest = thinned.bones[np.arange(len(thinned.bones)), thinned.weights.argmax(1)]
    names = {figure.rig.names[bone] for bone in np.unique(strongest)}
    assert {f"finger{finger}-{bone}.{side}" for finger in range(1, 6) for bone in (1, 2, 3) for side in "LR"} <= names


def test_the_shadow_mesh_is_coarse_and_uses_the_same_vertices(figure):
    faces = coarse_faces(figure, 0.03)
    assert 0 < len(faces) < 0.5 * len(figure.faces)
    assert faces.max() < len(figure.vertices)
