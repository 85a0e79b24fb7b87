"""Everything a translation run consists of, and its checkpoint; see `training.fit.files`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.network.checkpoint import load_strictly
from training.errors import ResumeError
from training.fit.files import LAST, commit
from training.fit.optimiser import make_optimiser
from training.fit.overrides import as_plain_data, from_plain_data
from training.fit.resume import changed_settings, require_no_run
from training.fit.state import RunState, read_kind
from training.translate.config import TranslateConfig
from training.translate.data import Corpus, Vocabulary, vocabulary_of
from training.translate.network import Translator

KIND, METHOD = "translator", "training.translate"


@dataclass(frozen=True)
class TrainedTranslator:
    """A trained translator and what is known of it."""

    network: Translator
    vocabulary: Vocabulary
    dim: int
    features_info: dict[str, Any]
    """`features.json` of the features that it was trained on."""
    config: TranslateConfig


@dataclass
class TranslateState(RunState[TranslateConfig]):
    """A run between two steps."""

    network: Translator
    vocabulary: Vocabulary
    dim: int
    features_info: dict[str, Any]

    @property
    def trained(self) -> TrainedTranslator:
        """The network as it is now."""
        return TrainedTranslator(self.network, self.vocabulary, self.dim, self.features_info, self.config)

    def checkpoint(self) -> dict[str, Any]:
        """The weights and what is known of them, as `read_trained` reads it."""
        return {
            "kind": KIND,
            "network": self.network.state_dict(),
            "words": list(self.vocabulary.words),
            "glosses": list(self.vocabulary.glosses),
            "dim": self.dim,
            "about": self.features_info,
            "config": as_plain_data(self.config),
            "commit": commit(),
            "step": self.step,
            "score": self.best_score,
        }


def open_run(config: TranslateConfig, corpus: Corpus, device: torch.device, *, resume: bool) -> TranslateState:
    """A new state, or with `resume` the one in the output folder, if any.

    Raises:
        ResumeError: the folder holds a run already, or one of other settings, features or sentences.
        CheckpointError: the file is damaged.
    """
    state = _make_state(config, corpus, device)
    path = config.output / LAST
    if not path.exists():
        return state
    if not resume:
        require_no_run(config.output)
    content = read_kind(path, KIND, METHOD)
    _check_same(path, content, state)
    load_strictly(state.network, content["network"])
    state.resume_from(content, path)
    return state


def _make_state(config: TranslateConfig, corpus: Corpus, device: torch.device) -> TranslateState:
    samples = corpus.splits["train"]
    vocabulary = vocabulary_of(samples)
    network = make_network(config, corpus.dim, vocabulary)
    network.measure(torch.cat([sample.sign for sample in samples]))
    network.to(device)
    optimiser = make_optimiser(network, 0, config.optimiser)
    return TranslateState(config, optimiser, network, vocabulary, corpus.dim, corpus.features_info)


def make_network(config: TranslateConfig, dim: int, vocabulary: Vocabulary) -> Translator:
    """A network with weights drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Translator(config.network, dim, vocabulary.num_words, len(vocabulary.glosses))


def _check_same(path: Path, content: dict[str, Any], state: TranslateState) -> None:
    changed = changed_settings(content["config"], state.config)
    of_old, of_new = (about.get("encoder_id") for about in (content["about"], state.features_info))
    if of_old != of_new:
        changed.append(f"features were of encoder {of_old} and are of {of_new}")
    if content["words"] != list(state.vocabulary.words) or content["glosses"] != list(state.vocabulary.glosses):
        changed.append("the sentences have other words or glosses")
    if changed:
        raise ResumeError(f"{path} is of another state: {'; '.join(changed)}. Use its settings, or another output")


def read_trained(path: Path) -> TrainedTranslator:
    """A translator from `best.pt` or `last.pt`, in evaluation mode.

    Raises:
        ResumeError: it is of something else.
        CheckpointError: it is missing or damaged, or its weights do not fit.
        ConfigError: its settings are of another version.
    """
    content = read_kind(path, KIND, METHOD)
    config = from_plain_data(TranslateConfig, content["config"])
    vocabulary = Vocabulary(tuple(content["words"]), tuple(content["glosses"]))
    network = make_network(config, content["dim"], vocabulary)
    load_strictly(network, content["network"])
    return TrainedTranslator(network.eval(), vocabulary, content["dim"], content["about"], config)
