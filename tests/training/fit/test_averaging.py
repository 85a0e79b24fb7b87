import torch
from torch import nn

from training.fit.averaging import decay_at, update_average


def test_the_average_follows_the_weights() -> None:
    average, network = nn.Linear(3, 2), nn.Linear(3, 2)
    before = average.weight.detach().clone()
    update_average(average, network, 0.9)
    assert torch.allclose(average.weight, 0.9 * before + 0.1 * network.weight, atol=1e-6)


def test_while_there_are_few_steps_the_average_follows_faster() -> None:
    assert [decay_at(step, 0.998) for step in (0, 10, 100_000)] == [0.1, 0.55, 0.998]
