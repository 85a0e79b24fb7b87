import torch

from tests.model.micro import micro
from tests.training.finetune.runs import glimpses
from training.finetune.network import Recogniser, pool_parts, recogniser_layer_of


def test_one_moment_is_the_pooling_that_serves() -> None:
    generator = torch.Generator().manual_seed(0)
    features, activity = torch.randn(3, 7, 5, generator=generator), torch.rand(3, 7, generator=generator)
    by_hand = (activity[:, :, None] * features).sum(dim=1) / activity.sum(dim=1, keepdim=True)
    torch.testing.assert_close(pool_parts(features, activity, 1), by_hand, rtol=0.01, atol=1e-3)


def test_moments_tell_a_sign_from_the_same_backwards() -> None:
    features = torch.arange(8.0)[None, :, None]
    forwards = pool_parts(features, torch.ones(1, 8), 4)
    torch.testing.assert_close(pool_parts(features.flip(1), torch.ones(1, 8), 4), forwards.flip(1))
    assert forwards[0].tolist() == sorted(forwards[0].tolist())
    torch.testing.assert_close(
        pool_parts(features, torch.ones(1, 8), 1), pool_parts(features.flip(1), torch.ones(1, 8), 1)
    )


def test_rest_before_and_after_a_sign_does_not_move_its_moments() -> None:
    sign = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(1))
    padded = torch.cat([torch.randn(1, 5, 4), sign, torch.randn(1, 2, 4)], dim=1)
    activity = torch.cat([torch.full((1, 5), 1e-9), torch.ones(1, 6), torch.full((1, 2), 1e-9)], dim=1)
    alone = pool_parts(sign, torch.ones(1, 6), 3)
    torch.testing.assert_close(pool_parts(padded, activity, 3), alone, rtol=0.01, atol=0.01)


def test_where_no_window_shows_activity_all_count_alike_and_gradients_are_finite() -> None:
    features = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1))
    logits = torch.full((2, 6), -95.0, requires_grad=True)  # a sigmoid of it is hardly a number
    pooled = pool_parts(features, logits.sigmoid(), 3)
    torch.testing.assert_close(pooled, pool_parts(features, torch.ones(2, 6), 3))
    pooled.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_every_moment_of_a_single_window_is_that_window_or_nothing() -> None:
    pooled = pool_parts(torch.ones(1, 1, 2), torch.ones(1, 1), 2).reshape(2, 2)
    torch.testing.assert_close(pooled, torch.ones(2, 2))


def test_where_hands_are_is_not_learned_anew_and_everything_else_is() -> None:
    network = Recogniser(glimpses(), 3, 2)
    network(torch.zeros(2, 4, 2, 32, 32, 3, dtype=torch.uint8)).sum().backward()
    still = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert still == {name for name, _ in network.named_parameters() if name.startswith("encoder.hands.find.")}
    assert len(still) == 8


def test_the_hands_network_is_as_deep_as_the_frames() -> None:
    assert recogniser_layer_of("encoder.hands.backbone.blocks.1.norm1.weight", 3) == recogniser_layer_of(
        "encoder.backbone.blocks.1.norm1.weight", 3
    )
    assert recogniser_layer_of("encoder.hands.backbone.pos_embed_spatial", 3) == 0
    assert recogniser_layer_of("head.1.weight", 3) == recogniser_layer_of("encoder.hands.place.weight", 3) == 4


def test_a_clip_in_one_window_gives_logits_of_all_classes() -> None:
    assert Recogniser(micro(), 5, 1)(torch.zeros(2, 1, 16, 64, 64, 3, dtype=torch.uint8)).shape == (2, 5)
