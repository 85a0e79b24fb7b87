"""Scores of a network on held-out data, by which the best checkpoint is chosen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.encoder import EncoderInfo, Encoding, Frames, Ints
from model.network.pixels import normalise
from model.network.signrep import SignRep
from training.data.windows.augment import resize
from training.data.windows.loading import load_batches
from training.data.windows.samples import PairSource
from training.errors import ConfigError
from training.evaluate.protocol import VectorRanker, evaluate, labelled_clips, video_vectors
from training.pretrain.config import PretrainConfig
from training.pretrain.masking import choose_visible
from training.pretrain.network import PretrainNetwork
from training.pretrain.objective import prior_terms, weighted_priors
from training.pretrain.sources import open_source, parse
from training.pretrain.state import FPS, STRIDE_FRAMES
from training.progress import ignore_progress

Validate = Callable[[PretrainNetwork], float]
"""A score of the network, in evaluation mode, on held-out data; higher is better."""

BATCH = 8
RETRIEVAL = "retrieval:"


def open_validation(config: PretrainConfig) -> Validate | None:
    """The validation that a config names, if any.

    Raises:
        ConfigError: it is of no known form.
        TrainingError: its data can't be read.
    """
    text = config.data.validation
    if not text:
        return None
    if text.startswith(RETRIEVAL):
        gallery, colon, queries = text.removeprefix(RETRIEVAL).partition(":")
        if not (gallery and colon and queries):
            raise ConfigError(f"data.validation is {text!r}; for two folders write retrieval:GALLERY:QUERIES")
        return retrieval(Path(gallery), Path(queries), config.moving)
    source = open_source(parse(text), config.data, config.seed + 1)
    return held_out(source, config.data.validation_pairs, config)


def held_out(source: PairSource, num_pairs: int, config: PretrainConfig) -> Validate:
    """Validation by the prediction of pose, without masking: minus the weighted prior loss.

    Args:
        source: of windows that are not trained on.
        num_pairs: about so many pairs are used, the same each time.
        config: weights of the priors, and which mask units could be seen.
    """

    @torch.no_grad()
    def validate(network: PretrainNetwork) -> float:
        device = next(network.parameters()).device
        batches = load_batches(source, BATCH, num_frames=config.encoder.num_frames)
        encoder, unmasked = network.encoder.config, replace(config, mask=0.0)
        losses = []
        for _ in range(max(1, 2 * num_pairs // BATCH)):
            batch = next(batches).to(device)
            windows = resize(batch.frames, encoder.image_size)
            visible = choose_visible(unmasked, windows, torch.zeros(len(windows), encoder.num_units))
            seen = None if visible is None else visible.to(device)
            terms = prior_terms(network(normalise(windows), seen), batch, config.losses)
            losses.append(weighted_priors({name: float(term) for name, term in terms.items()}, config.losses))
        return -sum(losses) / len(losses)

    return validate


def retrieval(gallery: Path, queries: Path, kept_share: float = 1.0) -> Validate:
    """Validation by retrieval, as the paper chooses its checkpoint: the DCG of `training.evaluate`.

    Args:
        gallery: folder of videos named by their gloss.
        queries: folder of others, named likewise.
        kept_share: of the mask units, those that move most, that are looked at.

    Raises:
        EvaluationError: there is no video in one of them.
    """
    known, queried = labelled_clips(gallery, None), labelled_clips(queries, None)

    def validate(network: PretrainNetwork) -> float:
        to_vector = video_vectors(NetworkEncoder(network.encoder, kept_share))
        ranker = VectorRanker(to_vector, "training", known, ignore_progress, mirrored=False)
        return evaluate(ranker, known, queried, ignore_progress).metrics.dcg

    return validate


class NetworkEncoder:
    """A network as an `Encoder`, without a file between."""

    def __init__(self, network: SignRep, kept_share: float = 1.0) -> None:
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
            kept_share=kept_share,
        )

    @torch.no_grad()
    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`."""
        device = next(self._network.parameters()).device
        units = None if visible is None else torch.from_numpy(visible).to(device)
        output = self._network(normalise(torch.from_numpy(windows).to(device)), units)
        activity = output.activity_logits.sigmoid()
        return Encoding(*(values.cpu().numpy().astype(np.float32) for values in (output.features, activity)))
