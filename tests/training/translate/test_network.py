"""The network: nothing of the padding and nothing of the future is seen, and the search finds what it should."""

import itertools
import math

import pytest
import torch

from training.translate.config import Losses, Network
from training.translate.data import END, PAD, START, UNKNOWN, Batch
from training.translate.losses import translation_losses
from training.translate.network import EncodedSentences, Translator, positions, translate

DIM, WORDS, GLOSSES = 6, 8, 3


@pytest.fixture
def network() -> Translator:
    torch.manual_seed(0)
    config = Network(width=16, hidden=16, heads=2, encoder_layers=1, decoder_layers=1, reach_windows=3)
    return Translator(config, DIM, WORDS, GLOSSES).eval()


def test_shapes_are_as_told(network: Translator) -> None:
    seen = network.encode(torch.randn(2, 9, DIM), torch.tensor([9, 4]))
    assert seen.memory.shape == (2, 9, 16)
    assert seen.padding.sum(dim=1).tolist() == [0, 5]
    assert network.glosses(seen).shape == (2, 9, 1 + GLOSSES)
    assert network.next_words(seen, torch.tensor([[START, 4, 5], [START, 6, PAD]])).shape == (2, 3, WORDS)


def test_what_is_padding_changes_nothing(network: Translator) -> None:
    short = torch.randn(1, 4, DIM)
    padded = torch.cat([short, torch.full((1, 5, DIM), 7.0)], dim=1)
    alone = network.encode(short, torch.tensor([4]))
    beside = network.encode(padded, torch.tensor([4]))
    said = torch.tensor([[START, 4, 5]])
    assert torch.allclose(beside.memory[:, :4], alone.memory, atol=1e-5)
    assert torch.allclose(network.next_words(beside, said), network.next_words(alone, said), atol=1e-5)


def test_no_word_sees_the_ones_after_it(network: Translator) -> None:
    seen = network.encode(torch.randn(1, 5, DIM), torch.tensor([5]))
    first, second = (network.next_words(seen, torch.tensor([[START, 4, last]])) for last in (5, 6))
    assert torch.allclose(first[:, :2], second[:, :2], atol=1e-6)
    assert not torch.allclose(first[:, 2], second[:, 2], atol=1e-3)


def test_features_of_any_size_and_place_come_in_alike(network: Translator) -> None:
    features = torch.randn(50, DIM)
    network.measure(features)
    plain = network.encode(features[None], torch.tensor([50])).memory
    network.measure(100.0 + 30.0 * features)
    assert torch.allclose(network.encode((100.0 + 30.0 * features)[None], torch.tensor([50])).memory, plain, atol=1e-3)


def test_positions_are_sines_and_cosines() -> None:
    found = positions(torch.zeros(1, 7, 4))
    for place in range(7):
        angles = (place, place / 100.0)
        expected = [f(angle) for angle in angles for f in (math.sin, math.cos)]
        assert found[place].tolist() == pytest.approx(expected, abs=1e-5)


def best_by_trying(network: Translator, features: torch.Tensor, longest: int) -> list[int]:
    """The text whose units have the highest mean log-probability, among all."""
    seen = network.encode(features[None], torch.tensor([len(features)]))
    scored = []
    for length in range(longest):
        for text in itertools.product(range(4, WORDS), repeat=length):
            logits = network.next_words(seen, torch.tensor([[START, *text]]))[0].log_softmax(dim=-1)
            steps = zip(logits, (*text, END), strict=True)
            scored.append((sum(float(row[unit]) for row, unit in steps) / (length + 1), list(text)))
    return max(scored)[1]


@torch.no_grad()
def test_a_beam_that_forgets_nothing_finds_the_likeliest_text(network: Translator) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        network.to_words.bias[END] = 1.0
        features = 3.0 * torch.randn(5, DIM)
        assert translate(network, features, beam=400, max_units=4) == best_by_trying(network, features, 4)


class Repeating(Translator):
    """Says unit 5 three times, then ends; specials it must not say are what it likes best."""

    def next_words(self, seen: EncodedSentences, said: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(*said.shape, WORDS)
        logits[..., [PAD, START, UNKNOWN]] = 20.0
        logits[..., END if said.shape[1] > 3 else 5] = 10.0
        return logits


@pytest.mark.parametrize("beam", [1, 3])
def test_special_units_are_never_said(beam: int) -> None:
    network = Repeating(Network(width=8, heads=1), DIM, WORDS, GLOSSES).eval()
    assert translate(network, torch.zeros(4, DIM), beam=beam, max_units=9) == [5, 5, 5]
    assert translate(network, torch.zeros(4, DIM), beam=1, max_units=2) == [5, 5], "it is cut off where it is too long"


def make_batch(num_glosses: list[int]) -> Batch:
    text = torch.tensor([[START, 4, 5, END], [START, 6, END, PAD]])
    glosses = torch.tensor([1, 2, 3][: sum(num_glosses)])
    return Batch(torch.randn(2, 8, DIM), torch.tensor([8, 6]), text, glosses, torch.tensor(num_glosses))


@torch.no_grad()
def test_losses_are_what_they_say(network: Translator) -> None:
    batch = make_batch([2, 1])
    terms = translation_losses(network, batch, Losses(words=2.0, glosses=3.0, label_smoothing=0.0))
    seen = network.encode(batch.sign, batch.num_windows)
    logp = network.next_words(seen, batch.text[:, :-1]).log_softmax(dim=-1)
    meant = [(0, 0, 4), (0, 1, 5), (0, 2, END), (1, 0, 6), (1, 1, END)]
    assert float(terms["words"]) == pytest.approx(-sum(float(logp[at]) for at in meant) / 5, rel=1e-5)
    paths = network.glosses(seen).log_softmax(dim=-1)
    one = -log_probability(paths[0], [1, 2]) / 2
    two = -log_probability(paths[1, :6], [3])
    assert float(terms["glosses"]) == pytest.approx((one + two) / 2, rel=1e-4)
    assert float(terms["total"]) == pytest.approx(2 * float(terms["words"]) + 3 * float(terms["glosses"]), rel=1e-5)


def log_probability(logp: torch.Tensor, glosses: list[int]) -> float:
    """Log-probability that a path over time spells the glosses, summed over all paths (Graves et al., 2006)."""
    spelt = [0, *(unit for gloss in glosses for unit in (gloss, 0))]
    alpha = [-math.inf] * len(spelt)
    alpha[0], alpha[1] = float(logp[0, 0]), float(logp[0, spelt[1]])
    for row in logp[1:]:
        sums = []
        for place, unit in enumerate(spelt):
            ways = alpha[max(0, place - 1) : place + 1]
            if place >= 2 and unit and unit != spelt[place - 2]:
                ways = alpha[place - 2 : place + 1]
            sums.append(float(torch.tensor(ways).logsumexp(0)) + float(row[unit]))
        alpha = sums
    return float(torch.tensor(alpha[-2:]).logsumexp(0))


@torch.no_grad()
def test_a_sentence_without_gloss_counts_for_its_text_alone(network: Translator) -> None:
    batch = make_batch([2, 0])
    both = translation_losses(network, batch, Losses())
    first = Batch(batch.sign[:1], batch.num_windows[:1], batch.text[:1], batch.glosses, batch.num_glosses[:1])
    assert float(both["glosses"]) == pytest.approx(
        float(translation_losses(network, first, Losses())["glosses"]), rel=1e-5
    )
    none = translation_losses(network, make_batch([0, 0]), Losses())
    assert set(none) == {"words", "total"}
    assert float(none["total"]) == float(none["words"])


def test_more_glosses_than_windows_spoil_nothing(network: Translator) -> None:
    batch = make_batch([2, 0])
    batch.num_windows[0] = 1
    terms = translation_losses(network, batch, Losses())
    assert torch.isfinite(terms["total"])
