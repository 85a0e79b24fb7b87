"""Where the kept values begin."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tests.training.sl_slr.runs import run_config
from training.sl_slr.batches import Batches
from training.sl_slr.config import Data, Network
from training.sl_slr.corpus import Corpus
from training.sl_slr.initialisation import initialise_wccn, wccn
from training.sl_slr.state import make_state

WITH_METRIC = Network(width=8, depth=1, heads=2, dim=8, projection=4, hidden=8, kept=1, metric=True, wccn_batches=4)


def test_behind_the_metric_views_differ_alike_in_every_direction() -> None:
    """Without a floor the covariance of differences becomes a multiple of the identity, and the mean zero."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([1.0, 5.0, 0.2, 3.0])
    sign = torch.randn(4000, 4, generator=generator) + 2.0
    first, second = (sign + scales * torch.randn(4000, 4, generator=generator) for _ in range(2))
    weight, bias = wccn(first, second, 1e-9)
    ours = [values @ weight.T + bias for values in (first, second)]
    covariance = np.cov((ours[0] - ours[1]).numpy().T)
    np.testing.assert_allclose(covariance / covariance[0, 0], np.eye(4), atol=0.06)
    torch.testing.assert_close(torch.cat(ours).mean(dim=0), torch.zeros(4), atol=1e-4, rtol=0.0)


def test_a_high_floor_leaves_all_directions_alike() -> None:
    first, second = (torch.randn(50, 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    weight, _ = wccn(first, second, 1e6)
    torch.testing.assert_close(weight / weight[0, 0], torch.eye(3), atol=1e-3, rtol=0.0)


def test_a_new_run_begins_with_who_rests_and_a_run_that_goes_on_stays(corpus: Corpus, tmp_path: Path) -> None:
    config = run_config(tmp_path, network=WITH_METRIC, data=Data(num_frames=8, cut="window", partners="signer"))
    batches = Batches(corpus, config.data, 16, 0)
    run = make_state(config, torch.device("cpu"))
    initialise_wccn(run, batches)
    batch, encoder = batches.at(7), run.network.encoder
    with torch.no_grad():
        guessed = encoder(batch.keypoints[0], batch.known[0]).activity_logits.sigmoid()
    assert ((guessed > 0.5) == (batch.activity > 0.5)).float().mean() > 0.85
    assert encoder.metric is not None
    before = encoder.metric.weight.clone()
    run.step = 1
    initialise_wccn(run, Batches(corpus, config.data, 16, 5))
    assert torch.equal(encoder.metric.weight, before)


def test_a_run_without_a_metric_is_left_alone(corpus: Corpus, tmp_path: Path) -> None:
    config = replace(run_config(tmp_path), network=replace(WITH_METRIC, metric=False))
    run = make_state(config, torch.device("cpu"))
    before = [parameter.clone() for parameter in run.network.parameters()]
    initialise_wccn(run, Batches(corpus, config.data, 4, 0))
    assert all(torch.equal(a, b) for a, b in zip(before, run.network.parameters(), strict=True))
