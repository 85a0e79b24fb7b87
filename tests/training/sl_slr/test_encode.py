"""Clips to vectors, and looked up."""

import numpy as np
import pytest
import torch

from model.errors import NoSignerError
from model.pooling import pool
from model.skeleton.features import bone_directions_wrists
from training.evaluate.baselines import encode_signing
from training.sl_slr.config import Data, Network
from training.sl_slr.encode import TorchEncoder, baseline_vectors, encoder_rows, evaluate_vectors, vectors
from training.sl_slr.network import make_network
from training.sl_slr.sequences import Sequence61, mirrored, windows

SMALL = Network(width=8, depth=1, heads=2, dim=8, projection=4, hidden=8, kept=2)
WINDOWS = Data(num_frames=8, cut="window", stride_frames=2)


def encoder(data: Data = WINDOWS) -> TorchEncoder:
    return TorchEncoder(make_network(SMALL, 8, 0).encoder, data)


def with_lost_hands(clip: Sequence61) -> Sequence61:
    known = clip.known.copy()
    known[:, 20:40], known[:, 41:] = False, False
    return Sequence61(clip.keypoints, known, clip.points, clip.gloss, clip.signer)


def test_a_clip_is_its_windows_pooled_by_activity(waving: Sequence61) -> None:
    rows = windows(waving.num_frames, WINDOWS.fps, 8, 2)
    network = make_network(SMALL, 8, 0).encoder.eval()
    with torch.no_grad():
        encoded = network(torch.from_numpy(waving.keypoints[rows]), torch.from_numpy(waving.known[rows]))
    weights = encoded.activity_logits.sigmoid().amax(dim=1)
    expected = torch.nn.functional.normalize((weights[:, None] * encoded.embedding).sum(dim=0), dim=0)
    np.testing.assert_allclose(encoder().vector(waving), expected.numpy(), atol=1e-6)


def test_a_whole_clip_is_one_window(waving: Sequence61) -> None:
    assert encoder(Data(num_frames=8)).encode(waving).embedding.shape[0] == 1


def test_windows_without_a_hand_are_left_out_as_when_serving(waving: Sequence61) -> None:
    known = waving.known.copy()
    known[20:, 20:40], known[:, 41:] = False, False
    clip = Sequence61(waving.keypoints, known, waving.points, "g", "s")
    rows = encoder_rows(clip, WINDOWS)
    assert (rows.min(axis=1) < 20).all()
    assert len(rows) < len(encoder_rows(waving, WINDOWS))


def test_a_clip_without_hands_is_refused_and_is_zeros_among_many(waving: Sequence61) -> None:
    with pytest.raises(NoSignerError, match="WAVE__someone: no hand was found"):
        encoder().vector(with_lost_hands(waving))
    found = vectors(encoder().vector, [with_lost_hands(waving), waving])
    assert (found[0] == 0).all()
    assert np.linalg.norm(found[1]) == pytest.approx(1.0)


def test_the_training_free_vector_is_that_of_the_evaluation(waving: Sequence61) -> None:
    encoding = encode_signing(waving.signing(), bone_directions_wrists)
    np.testing.assert_allclose(
        baseline_vectors(bone_directions_wrists)(waving), pool(encoding.embedding, encoding.activity), atol=1e-6
    )


def test_a_sign_is_found_among_others_and_mirrored_only_where_asked(performed: tuple[Sequence61, ...]) -> None:
    to_vector = baseline_vectors(bone_directions_wrists)
    gallery = performed[::3]
    assert evaluate_vectors(to_vector, gallery, performed[1::3]).recall[1] == 100.0
    turned = [mirrored(clip) for clip in gallery]
    assert evaluate_vectors(to_vector, gallery, turned, also_mirrored=True).recall[1] == 100.0
    plain, both = (evaluate_vectors(to_vector, gallery, turned, also_mirrored=flag).dcg for flag in (False, True))
    assert plain < both


def test_a_query_without_hands_is_a_miss(performed: tuple[Sequence61, ...]) -> None:
    to_vector = baseline_vectors(bone_directions_wrists)
    found = evaluate_vectors(to_vector, performed[::3], [performed[1], with_lost_hands(performed[4])])
    assert found.recall[1] == 50.0
