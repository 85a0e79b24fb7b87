"""Everything a translation run is made of, and how it is written down and taken up again; see `training.fit.files`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import load_strictly, load_tensors
from training.assignments import as_plain_data, differences, from_plain_data
from training.errors import ResumeError
from training.fit import NOT_OF_THE_RESULT
from training.fit.files import BEST, LAST, commit, write_whole
from training.fit.loop import Pace
from training.fit.optimiser import make_optimiser
from training.translate.config import TranslateConfig
from training.translate.data import Corpus, Vocabulary, vocabulary_of
from training.translate.network import Translator

KIND = "translator"


@dataclass(frozen=True)
class Trained:
    """A translator and what is known of it."""

    network: Translator
    vocabulary: Vocabulary
    dim: int
    about: dict[str, Any]
    """What `features.json` said of the features that it learned from."""
    config: TranslateConfig


@dataclass
class Run:
    """A run between two steps."""

    config: TranslateConfig
    network: Translator
    vocabulary: Vocabulary
    dim: int
    about: dict[str, Any]
    optimiser: torch.optim.AdamW
    step: int = 0
    """Steps done."""
    elapsed_s: float = 0.0
    """Seconds of training so far, all parts of the run together."""
    best_score: float | None = None
    """Of the best checkpoint, where there was a validation."""

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        return self.config.optimiser.clip_norm

    @property
    def paces(self) -> tuple[Pace, ...]:
        """See `training.fit.loop.Run`."""
        return (Pace(self.optimiser, self.config.optimiser.learning_rate, self.config.optimiser.warmup_steps),)

    @property
    def trained(self) -> Trained:
        """The network as it is now."""
        return Trained(self.network, self.vocabulary, self.dim, self.about, self.config)

    def checkpoint(self) -> dict[str, Any]:
        """The weights and what is known of them, as `read_trained` reads it."""
        return {
            "kind": KIND,
            "network": self.network.state_dict(),
            "words": list(self.vocabulary.words),
            "glosses": list(self.vocabulary.glosses),
            "dim": self.dim,
            "about": self.about,
            "config": as_plain_data(self.config),
            "commit": commit(),
            "step": self.step,
            "score": self.best_score,
        }

    def save_last(self) -> None:
        """Write `last.pt`."""
        rest = {"optimiser": self.optimiser.state_dict(), "elapsed_s": self.elapsed_s}
        write_whole(self.checkpoint() | rest, self.config.output / LAST)

    def save_best(self) -> None:
        """Write `best.pt`."""
        write_whole(self.checkpoint(), self.config.output / BEST)


def open_run(config: TranslateConfig, corpus: Corpus, device: torch.device, *, resume: bool) -> Run:
    """A new run, or with `resume` the one in the output folder, if any.

    Raises:
        ResumeError: the folder holds a run already, or one of other settings, features or sentences.
        CheckpointError: the file is damaged.
    """
    run = _make_run(config, corpus, device)
    path = config.output / LAST
    if not path.exists():
        return run
    if not resume:
        raise ResumeError(f"{path} holds a run already; go on with it (--resume), or set another output=DIR")
    content = _read(path)
    _check_same(path, content, run)
    load_strictly(run.network, content["network"])
    run.optimiser.load_state_dict(content["optimiser"])
    run.step, run.elapsed_s, run.best_score = content["step"], content["elapsed_s"], content["score"]
    return run


def _make_run(config: TranslateConfig, corpus: Corpus, device: torch.device) -> Run:
    samples = corpus.splits["train"]
    vocabulary = vocabulary_of(samples)
    network = make_network(config, corpus.dim, vocabulary)
    network.measure(torch.cat([sample.sign for sample in samples]))
    network.to(device)
    optimiser = make_optimiser(network, 0, config.optimiser)
    return Run(config, network, vocabulary, corpus.dim, corpus.about, optimiser)


def make_network(config: TranslateConfig, dim: int, vocabulary: Vocabulary) -> Translator:
    """A network whose weights are drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Translator(config.network, dim, vocabulary.num_words, len(vocabulary.glosses))


def _check_same(path: Path, content: dict[str, Any], run: Run) -> None:
    changed = differences(content["config"], as_plain_data(run.config), NOT_OF_THE_RESULT)
    of_old, of_new = (about.get("encoder_id") for about in (content["about"], run.about))
    if of_old != of_new:
        changed.append(f"features were of encoder {of_old} and are of {of_new}")
    if content["words"] != list(run.vocabulary.words) or content["glosses"] != list(run.vocabulary.glosses):
        changed.append("the sentences have other words or glosses")
    if changed:
        raise ResumeError(f"{path} is of another run: {'; '.join(changed)}. Use its settings, or another output")


def _read(path: Path) -> dict[str, Any]:
    content = load_tensors(path)
    if content.get("kind") != KIND:
        raise ResumeError(f"{path} is no run of training.translate; such a run leaves {LAST} in its output folder")
    return content


def read_trained(path: Path) -> Trained:
    """A translator from `best.pt` or `last.pt`, in evaluation mode.

    Raises:
        ResumeError: it is of something else.
        CheckpointError: it is missing or damaged, or its weights do not fit.
        ConfigError: its settings are of another version.
    """
    content = _read(path)
    config = from_plain_data(TranslateConfig, content["config"])
    vocabulary = Vocabulary(tuple(content["words"]), tuple(content["glosses"]))
    network = make_network(config, content["dim"], vocabulary)
    load_strictly(network, content["network"])
    return Trained(network.eval(), vocabulary, content["dim"], content["about"], config)
