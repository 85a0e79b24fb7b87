"""One step of a translator; the loop is that of `training.fit.loop`."""

from collections.abc import Callable

from training.fit.distributed import World
from training.fit.loop import SCORE, Callbacks, Clock, Method, Scores, Terms, fit
from training.fit.schedule import Progress
from training.translate.data import Corpus, batches
from training.translate.losses import translation_losses
from training.translate.report import evaluate_sentences
from training.translate.state import TranslateState


def train_translator(
    state: TranslateState,
    corpus: Corpus,
    world: World,
    *,
    callbacks: Callbacks,
    stop: Callable[[], bool] = lambda: False,
) -> TranslateState:
    """Train until the steps or the minutes are over, or somebody says stop; then save.

    Args:
        state: new or resumed; changed in place.
        corpus: the sentences.
        world: this process.
        callbacks: of the run.
        stop: asked after every step.

    Returns:
        The same state.

    Raises:
        DivergedError: a loss or gradient is not finite; nothing is written over what was saved before.
    """
    config = state.config
    state.network.train()
    parts = batches(corpus.splits["train"], state.vocabulary, config, first_batch=state.step * config.accumulate)
    clock = Clock(state.elapsed_s)

    def add_gradients(_: int, __: Progress) -> Terms:
        terms = translation_losses(state.network, clock.take(parts).to(world.device), config.losses)
        (terms["total"] / config.accumulate).backward()  # type: ignore[no-untyped-call]
        return {name: term.detach() for name, term in terms.items()}

    def validate() -> Scores:
        return {SCORE: evaluate_sentences(state.trained, corpus.splits["dev"]).bleu[-1]}

    method = Method(
        add_gradients,
        config.accumulate,
        validate=validate if corpus.splits.get("dev") else None,
        validate_every=config.validate_every,
    )
    fit(state, method, clock, world, callbacks=callbacks, stop=stop)
    return state
