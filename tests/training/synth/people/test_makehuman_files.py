"""MakeHuman's formats, on files small enough to read by eye."""

import numpy as np
import pytest

from training.synth.people.makehuman_files import read_fit, read_mesh, read_skeleton, read_target, read_weights

OBJ = """# a square and a triangle
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
g body
f 1/1 2/2 3/3 4/1
g helper-x
f 1/1 2/2 3/3
"""
FIT = """name hat # a comment
x_scale 0 1 2.0
y_scale 0 3 1.0
z_scale 0 1 4.0
verts 0
 0 1 2 0.5 0.25 0.25 0.1 0 -0.2
7

delete_verts
3 5 - 7 9
"""


def test_a_mesh_keeps_quads_texture_corners_and_groups():
    mesh = read_mesh(OBJ)
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2, 3], [0, 1, 2, 2]])
    np.testing.assert_array_equal(mesh.face_uv[0], [0, 1, 2, 0])
    np.testing.assert_array_equal(mesh.group_faces("body"), [0])
    np.testing.assert_array_equal(mesh.group_faces("helper-x"), [1])
    assert len(mesh.group_faces("nothing")) == 0


def test_a_fit_reads_triples_single_vertices_scales_and_ranges():
    fit = read_fit(FIT)
    np.testing.assert_array_equal(fit.corners, [[0, 1, 2], [7, 7, 7]])
    np.testing.assert_allclose(fit.weights, [[0.5, 0.25, 0.25], [1, 0, 0]])
    np.testing.assert_allclose(fit.offsets, [[0.1, 0, -0.2], [0, 0, 0]])
    assert fit.scales == ((0, 1, 2.0), (0, 3, 1.0), (0, 1, 4.0))
    np.testing.assert_array_equal(fit.hidden, [3, 5, 6, 7, 9])


def test_a_fit_without_vertices_is_refused():
    with pytest.raises(ValueError, match="0 vertices and scales for"):
        read_fit("name hat\nx_scale 0 1 2.0\n")


def test_a_target_moves_some_vertices():
    target = read_target("# how\n3 0.5 -1 0\n\n9 0 0 2e-1\n")
    np.testing.assert_array_equal(target.vertices, [3, 9])
    np.testing.assert_allclose(target.deltas, [[0.5, -1, 0], [0, 0, 0.2]])


def test_a_skeleton_names_parents_and_the_vertices_of_its_joints():
    text = """{"joints": {"a": [1, 2], "b": [3]}, "bones": {
        "root": {"parent": null, "head": "a", "tail": "b"}, "tip": {"parent": "root", "head": "b", "tail": "a"}}}"""
    bones = read_skeleton(text)
    assert (bones["root"].parent, bones["tip"].parent) == ("", "root")
    np.testing.assert_array_equal(bones["tip"].tail, [1, 2])
    with pytest.raises(ValueError, match="the skeleton has no 'bones'"):
        read_skeleton('{"joints": {}}')


def test_weights_list_vertices_and_shares_and_skip_idle_bones():
    weights = read_weights('{"weights": {"arm": [[4, 0.5], [7, 1.0]], "idle": []}}')
    assert list(weights) == ["arm"]
    np.testing.assert_array_equal(weights["arm"][0], [4, 7])
    with pytest.raises(ValueError, match="no 'weights'"):
        read_weights("{}")
