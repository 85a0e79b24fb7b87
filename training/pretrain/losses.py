"""The losses of SignRep, one function each. All are means, so that none depends on the size of the batch by itself."""

from torch import Tensor
from torch.nn import functional as F

from model.network.hands import HandLocations

VARIANCE_EPSILON = 1e-4
"""Under the root of the variance, as in VICReg: its gradient is not defined at zero."""


def prior_loss(prediction: Tensor, target: Tensor, known: Tensor, psi: float, beta: float = 1.0) -> Tensor:
    """Smooth L1 between prediction and psi x target over what is known of the target.

        e = prediction - psi target;  mean over known of  e^2 / (2 beta) where |e| < beta, else |e| - beta / 2

    Paper: which robust loss and which mean is not printed; here: smooth L1, mean over known elements.

    Args:
        prediction: [B, 16, dim].
        target: [B, 16, dim]; what it holds where it is not known does not count, NaN included.
        known: [B, 16, dim] bool.
        psi: scale of the target.
        beta: error at which the square turns into a line.

    Returns:
        [] the loss; 0 where nothing is known.
    """
    target = target.masked_fill(~known, 0.0)
    errors = F.smooth_l1_loss(prediction.float(), psi * target, reduction="none", beta=beta)
    return (errors * known).sum() / known.sum().clamp(min=1)


def activity_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of which hand signs, mean over known hands.

    Args:
        logits: [B, 2] left, right.
        target: [B, 2] float in [0, 1].
        known: [B, 2] bool.
    """
    target = target.masked_fill(~known, 0.0)
    errors = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    return (errors * known).sum() / known.sum().clamp(min=1)


def variance_loss(features: Tensor) -> Tensor:
    """A hinge that keeps every channel alive: L_var = mean_j max(0, 1 - std_j) over the batch.

    Args:
        features: [B, D], B >= 2.
    """
    std = (features.float().var(dim=0) + VARIANCE_EPSILON).sqrt()
    return F.relu(1.0 - std).mean()


def covariance_loss(features: Tensor, *, per_channel: bool = True) -> Tensor:
    """Channels should not repeat each other: L_cov = (1/D) sum_{j != k} C_jk^2, C the covariance over the batch.

    Paper: the sum is printed without 1/D; here: with it, as in VICReg, because with a batch of 20 and 768 channels the
    literal sum has a floor near 124 after weighting, and drowns the priors.

    Args:
        features: [B, D], B >= 2.
        per_channel: divide by D.
    """
    centred = features.float() - features.float().mean(dim=0)
    covariance = centred.T @ centred / (len(features) - 1)
    off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
    return off_diagonal / features.shape[1] if per_channel else off_diagonal


def adversarial_loss(matched: Tensor, unmatched: Tensor, ema_matched: Tensor, ema_unmatched: Tensor) -> Tensor:
    """The encoder's adversarial loss: the discriminator should not separate matched styles from unmatched ones.

        mean_matched (D - EMA_unmatched)^2 + mean_unmatched (D - EMA_matched)^2

    Paper: cites LeCam regularisation without an equation; here: its two squares, each towards the other's average.

    Args:
        matched: [B] probability of being matched, for embeddings with the style of their own video.
        unmatched: [B] the same with the style of another video.
        ema_matched: [] running mean of `matched`.
        ema_unmatched: [] running mean of `unmatched`.
    """
    return (matched - ema_unmatched).square().mean() + (unmatched - ema_matched).square().mean()


def discriminator_loss(matched_logits: Tensor, unmatched_logits: Tensor) -> Tensor:
    """Binary cross-entropy of the discriminator: matched is 1, unmatched is 0; both weighted the same.

    Args:
        matched_logits: [B].
        unmatched_logits: [B].
    """
    matched = F.softplus(-matched_logits).mean()  # -log sigmoid(x)
    unmatched = F.softplus(unmatched_logits).mean()  # -log (1 - sigmoid(x))
    return (matched + unmatched) / 2


def hands_loss(hands: HandLocations, squares: Tensor) -> Tensor:
    """Error of the predicted places and sizes of the hands.

        L = mean over known hands of  -log softmax(scores)_n  +  10 |predicted - true|_1  +  3 |log (side / true side)|

    n is the token nearest to the hand. The first term decides between likely places, whose average would be neither;
    the second is exact. Ours.

    Args:
        hands: the prediction.
        squares: [B, 2, 3] x and y of the left and the right hand, and the side, in shares of the frame; NaN where
            unknown.
    """
    known = ~squares.isnan().any(dim=-1)  # [B, 2]
    true, true_side = squares[..., :2].nan_to_num(), squares[..., 2].nan_to_num(1.0)
    nearest = (hands.tokens[:, None] - true[:, :, None]).square().sum(dim=-1).argmin(dim=-1)  # [B, 2]
    surprise = F.cross_entropy(hands.scores.flatten(0, 1), nearest.flatten(), reduction="none").reshape(known.shape)
    away = (hands.places - true).abs().sum(dim=-1)
    larger = (hands.side[:, None].log() - true_side.log()).abs()
    return (known * (surprise + 10.0 * away + 3.0 * larger)).sum() / known.sum().clamp(min=1)
