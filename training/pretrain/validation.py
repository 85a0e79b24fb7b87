"""Scores of a network on held-out data, by which the best checkpoint is chosen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from model.encoder import EncoderInfo, Encoding, Frames, Ints
from model.signrep import SignRep, normalise
from training.data.augment import resize
from training.data.loading import load_batches
from training.data.samples import Source
from training.errors import ConfigError
from training.evaluate.protocol import VectorRanker, evaluate, labelled_clips, video_vectors
from training.pretrain.config import Losses, PretrainConfig
from training.pretrain.network import PretrainNetwork
from training.pretrain.objective import prior_terms, weighted_priors
from training.pretrain.sources import open_source, parse
from training.pretrain.state import FPS, STRIDE_FRAMES

Validate = Callable[[PretrainNetwork], float]
"""A score of the network, in evaluation mode, on held-out data; higher is better."""

BATCH = 8
RETRIEVAL = "retrieval:"


def open_validation(config: PretrainConfig) -> Validate | None:
    """The validation that a config asks for, if any.

    Raises:
        ConfigError: it is of no known form.
        TrainingError: its data can't be had.
    """
    text = config.data.validation
    if not text:
        return None
    if text.startswith(RETRIEVAL):
        gallery, colon, queries = text.removeprefix(RETRIEVAL).partition(":")
        if not (gallery and colon and queries):
            raise ConfigError(f"data.validation is {text!r}; for two folders write retrieval:GALLERY:QUERIES")
        return retrieval(Path(gallery), Path(queries))
    source = open_source(parse(text), config.data, config.seed + 1)
    return held_out(source, config.data.validation_pairs, config.losses)


def held_out(source: Source, num_pairs: int, config: Losses) -> Validate:
    """Validation by how well pose is predicted, all mask units visible: minus the weighted prior loss.

    Args:
        source: of windows that are not trained on.
        num_pairs: about so many pairs are used, the same each time.
        config: weights of the priors.
    """

    @torch.no_grad()
    def validate(network: PretrainNetwork) -> float:
        device = next(network.parameters()).device
        batches = load_batches(source, BATCH)
        losses = []
        for _ in range(max(1, 2 * num_pairs // BATCH)):
            batch = next(batches).to(device)
            windows = normalise(resize(batch.frames, network.encoder.config.image_size))
            terms = prior_terms(network(windows), batch, config)
            losses.append(weighted_priors({name: float(term) for name, term in terms.items()}, config))
        return -sum(losses) / len(losses)

    return validate


def retrieval(gallery: Path, queries: Path) -> Validate:
    """Validation by looking clips up, as the paper chooses its checkpoint: the DCG of `training.evaluate`.

    Args:
        gallery: folder of videos named by their gloss.
        queries: folder of others, named likewise.

    Raises:
        EvaluationError: there is no video in one of them.
    """
    known, asked = labelled_clips(gallery, None), labelled_clips(queries, None)

    def validate(network: PretrainNetwork) -> float:
        to_vector = video_vectors(NetworkEncoder(network.encoder))
        ranker = VectorRanker(to_vector, "training", known, _tell_nobody, mirrored=False)
        return evaluate(ranker, known, asked, _tell_nobody).metrics.dcg

    return validate


class NetworkEncoder:
    """A network as an `Encoder`, without a file between."""

    def __init__(self, network: SignRep) -> None:
        self._network = network
        self.info = EncoderInfo(
            encoder_id="training",
            config=network.config,
            fps=FPS,
            stride_frames=STRIDE_FRAMES,
            provenance="in training",
            licence="",
            trained=True,
            precision="fp32",
        )

    @torch.no_grad()
    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`."""
        device = next(self._network.parameters()).device
        units = None if visible is None else torch.from_numpy(visible).to(device)
        output = self._network(normalise(torch.from_numpy(windows).to(device)), units)
        activity = output.activity_logits.sigmoid()
        return Encoding(*(values.cpu().numpy().astype(np.float32) for values in (output.features, activity)))


def _tell_nobody(phase: str, done: int, total: int) -> None:
    """Progress of a validation is not shown."""
