"""The losses of translation: cross-entropy of the text, CTC of the glosses."""

import torch
from torch import Tensor
from torch.nn import functional

from training.translate.config import Losses
from training.translate.data import PAD, Batch
from training.translate.network import Translator


def translation_losses(network: Translator, batch: Batch, weights: Losses) -> dict[str, Tensor]:
    """Cross-entropy of every next unit, CTC of the glosses, and their weighted `total`.

    The cross-entropy is averaged over the units of the batch; CTC over the glosses of a sentence, then over sentences.
    """
    encoded = network.encode(batch.sign, batch.num_windows)
    logits = network.next_words(encoded, batch.text[:, :-1])
    words = functional.cross_entropy(
        logits.flatten(0, 1), batch.text[:, 1:].flatten(), ignore_index=PAD, label_smoothing=weights.label_smoothing
    )
    terms = {"words": words}
    known = batch.num_glosses > 0
    if weights.glosses and known.any():
        terms["glosses"] = functional.ctc_loss(
            network.glosses(encoded)[known].log_softmax(dim=-1).transpose(0, 1),
            batch.glosses,
            batch.num_windows[known],
            batch.num_glosses[known],
            zero_infinity=True,
        )
    total = weights.words * words + weights.glosses * terms.get("glosses", torch.zeros_like(words))
    return terms | {"total": total}
