"""What the encoder sees and gives."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from model.skeleton.features import bone_directions_wrists
from training.sl_slr.config import Network
from training.sl_slr.network import Describe, SkeletonEncoder, cosines, make_network
from training.sl_slr.sequences import Sequence61

SMALL = Network(width=8, depth=1, heads=2, dim=8, projection=4, hidden=8)


def inputs(clip: Sequence61, num_frames: int = 8) -> tuple[Tensor, Tensor]:
    rows = np.arange(num_frames) * 3
    return torch.from_numpy(clip.keypoints[rows])[None], torch.from_numpy(clip.known[rows])[None]


def encoder(**changes: object) -> SkeletonEncoder:
    from dataclasses import replace

    return make_network(replace(SMALL, **changes), 8, seed=0).encoder.eval()  # type: ignore[arg-type]


def test_plain_values_are_those_of_the_training_free_baseline(waving: Sequence61) -> None:
    """The baseline divides by the clip's median shoulder width, which here is the same in every frame."""
    keypoints, known = (torch.from_numpy(part)[None] for part in (waving.keypoints, waving.known))
    ours = Describe()(keypoints, known).plain[0].numpy()
    theirs = bone_directions_wrists(waving.signing()).hands
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@torch.no_grad()
def test_where_somebody_stands_and_how_tall_they_are_changes_nothing(waving: Sequence61) -> None:
    keypoints, known = inputs(waving)
    network = encoder(kept=3)
    here, there = network(keypoints, known), network(1.3 * keypoints + torch.tensor([0.4, -0.2, 1.0]), known)
    torch.testing.assert_close(here.embedding, there.embedding, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(here.activity_logits, there.activity_logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e9])
def test_what_stands_where_nothing_is_known_is_not_looked_at(performed: tuple[Sequence61, ...], value: float) -> None:
    keypoints, known = inputs(performed[0])
    assert not known.all()
    network = encoder(kept=3)
    spoilt = torch.where(known[..., None], keypoints, value)
    torch.testing.assert_close(network(keypoints, known).embedding, network(spoilt, known).embedding)


@torch.no_grad()
def test_a_sequence_in_which_nothing_is_known_still_gives_numbers() -> None:
    encoded = encoder(kept=3)(torch.zeros(2, 8, 61, 3), torch.zeros(2, 8, 61, dtype=torch.bool))
    assert torch.isfinite(encoded.embedding).all()
    assert torch.isfinite(encoded.activity_logits).all()


def test_a_sequence_of_which_nothing_is_known_has_a_finite_gradient() -> None:
    network = encoder(kept=3)
    encoded = network(torch.zeros(2, 8, 61, 3), torch.zeros(2, 8, 61, dtype=torch.bool))
    (encoded.embedding.sum() + encoded.activity_logits.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_the_cosines_are_the_orthonormal_transform() -> None:
    rows = cosines(8, 8)
    torch.testing.assert_close(rows @ rows.T, torch.eye(8), atol=1e-6, rtol=0.0)
    typed = [math.sqrt(2 / 8) * math.cos(math.pi / 8 * (t + 0.5) * 3) for t in range(8)]
    assert rows[3].tolist() == pytest.approx(typed, abs=1e-6)
    assert rows[0].tolist() == pytest.approx([math.sqrt(1 / 8)] * 8)


@torch.no_grad()
def test_all_cosines_together_keep_the_cosine_of_the_plain_values(performed: tuple[Sequence61, ...]) -> None:
    """With every cosine kept and both hands active, the kept part is the plain values in other axes."""
    network = encoder(kept=8, kept_share=0.999999)
    network.activity[2].weight.zero_()
    network.activity[2].bias.fill_(10.0)
    (a, b), (c, d) = inputs(performed[0]), inputs(performed[4])
    keypoints, known = torch.cat([a, c]), torch.cat([b, d])
    kept, plain = network(keypoints, known).embedding, network.describe(keypoints, known).plain.flatten(1)
    ours = torch.nn.functional.cosine_similarity(kept[:1, :-8], kept[1:, :-8])
    torch.testing.assert_close(ours, torch.nn.functional.cosine_similarity(plain[:1], plain[1:]), atol=1e-5, rtol=0.0)


@torch.no_grad()
def test_a_hand_that_rests_is_not_in_the_kept_part(waving: Sequence61) -> None:
    network = encoder(kept=2)
    described = network.describe(*inputs(waving))
    left, right = network.kept(described, torch.tensor([[-20.0, 5.0]])).reshape(2, 2, 63).unbind(dim=1)
    assert left.abs().max() < 1e-6
    assert torch.cat([left, right]).norm() == pytest.approx(1.0)


@torch.no_grad()
def test_where_both_hands_rest_they_are_what_there_is(waving: Sequence61) -> None:
    network = encoder(kept=2)
    described = network.describe(*inputs(waving))
    resting, active = (network.kept(described, torch.full((1, 2), logit)) for logit in (-9.0, 9.0))
    torch.testing.assert_close(resting, active, atol=1e-5, rtol=0.0)


def test_no_loss_on_the_embedding_moves_the_activity(waving: Sequence61) -> None:
    network = encoder(kept=2)
    network(*inputs(waving)).embedding.sum().backward()
    assert all(parameter.grad is None for parameter in network.activity.parameters())
    assert all(parameter.grad is not None for parameter in network.head.parameters())


def test_the_width_of_the_embedding_is_what_it_says(waving: Sequence61) -> None:
    for kept in (0, 3):
        network = encoder(kept=kept)
        assert network(*inputs(waving)).embedding.shape == (1, network.dim)


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    first = make_network(SMALL, 8, seed=3).state_dict()
    torch.rand(5)
    second = make_network(SMALL, 8, seed=3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
