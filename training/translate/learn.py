"""What one step of a translator learns; the loop itself is `training.fit.loop`."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from training.fit.distributed import World
from training.fit.loop import Clock, Watcher, fit
from training.translate.config import Losses
from training.translate.data import PAD, Batch, Corpus, batches
from training.translate.network import Translator
from training.translate.report import assess
from training.translate.state import Run


def learn_to_translate(
    run: Run, corpus: Corpus, world: World, *, watcher: Watcher, stop: Callable[[], bool] = lambda: False
) -> Run:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        run: new, or taken up; changed in place.
        corpus: the sentences.
        world: this process.
        watcher: told of every step.
        stop: asked after every step.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
    """
    config = run.config
    run.network.train()
    parts = batches(corpus.splits["train"], run.vocabulary, config, first_batch=run.step * config.accumulate)
    clock = Clock(run.elapsed_s)

    def learn(part: int) -> dict[str, Tensor]:
        terms = losses(run.network, clock.take(parts).to(world.device), config.losses)
        (terms["total"] / config.accumulate).backward()  # type: ignore[no-untyped-call]
        return {name: term.detach() for name, term in terms.items()}

    def validate() -> float:
        return assess(run.trained, corpus.splits["dev"]).bleu[-1]

    scored = validate if corpus.splits.get("dev") else None
    fit(run, learn, clock, world, watcher=watcher, validate=scored, stop=stop)
    return run


def losses(network: Translator, batch: Batch, weights: Losses) -> dict[str, Tensor]:
    """Cross-entropy of every next unit, CTC of the glosses, and their weighted `total`.

    Units are averaged over the batch; glosses per sentence over its glosses, then over the sentences that have any.
    """
    seen = network.see(batch.sign, batch.num_windows)
    logits = network.next_words(seen, batch.text[:, :-1])
    words = functional.cross_entropy(
        logits.flatten(0, 1), batch.text[:, 1:].flatten(), ignore_index=PAD, label_smoothing=weights.label_smoothing
    )
    terms = {"words": words}
    known = batch.num_glosses > 0
    if weights.glosses and known.any():
        terms["glosses"] = functional.ctc_loss(
            network.glosses(seen)[known].log_softmax(dim=-1).transpose(0, 1),
            batch.glosses,
            batch.num_windows[known],
            batch.num_glosses[known],
            zero_infinity=True,
        )
    total = weights.words * words + weights.glosses * terms.get("glosses", torch.zeros_like(words))
    return terms | {"total": total}
