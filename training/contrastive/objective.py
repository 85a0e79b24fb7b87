"""The losses of one step of contrastive training.

Every step sees movements by two people each. Its losses are all of SignRep's (every prior, activity, variance and
covariance of embeddings), the places of the hands, the pose of single hands, and the contrast between movements.
"""

import torch
from torch import Tensor

from model.network.hands import HandLocations
from training.contrastive.augment import augment, sample_crops
from training.contrastive.clips.clip_pool import StepSample, WindowTable
from training.contrastive.clips.windows import BEFORE, NUM_SHOWN, by_prior
from training.contrastive.config import ContrastiveConfig
from training.contrastive.hand_crops import hand_crops
from training.contrastive.hand_reader import hand_loss
from training.contrastive.losses import contrastive_loss, nearest_share, pooled
from training.contrastive.network import ContrastiveNetwork
from training.data.priors.table import PRIOR
from training.fit.distributed import World
from training.fit.loop import Terms, autocast
from training.pretrain.config import Losses
from training.pretrain.losses import activity_loss, covariance_loss, hands_loss, prior_loss, variance_loss
from training.pretrain.network import Prediction
from training.pretrain.objective import term_weights


def step_losses(
    model: ContrastiveNetwork,
    config: ContrastiveConfig,
    table: WindowTable,
    sample: StepSample,
    generator: torch.Generator,
    world: World,
) -> tuple[Tensor, Terms]:
    """The loss of a step, and every term before its weight.

    Poses are compared process by process, vectors with those of all processes, of which only a process's own carry a
    gradient: so these terms count as often as there are processes, and the mean of all gradients is that of one
    process with all batches.

    Args:
        model: the network.
        config: weights and augmentation.
        table: all windows.
        sample: the rows that this process trains on.
        generator: random numbers of the augmentation, on the table's device.
        world: the processes that train together.
    """
    shape = sample.rows.shape
    rows = table.at(sample.rows.flatten())
    num_clips = shape[0] * shape[1]
    clips = torch.arange(num_clips, device=world.device).repeat_interleave(shape[2])
    with torch.no_grad():
        crops = sample_crops(num_clips, config.augment, generator)
        windows = augment(rows.frames, crops, clips, config.augment, generator, model.change_light)
        squares = inside(crops.transform(rows.hands, clips))
    with autocast(config.precision, world.device):
        prediction = model.predict(windows, None, given_places(squares, config, generator))
    terms = pose_terms(prediction, rows, squares, config.losses)
    terms["single_hands"], cosine = prediction.features.new_zeros((), dtype=torch.float32), None
    if config.hand_weight:
        terms["single_hands"], cosine = single_hand_loss(model, config, rows, generator)

    features = prediction.features.float()
    logits = prediction.activity_logits.reshape(*shape, -1)
    vectors = pooled(features.reshape(*shape, -1), logits, config.num_parts)
    vectors, movements = world.gather(vectors), world.gather(sample.movements)
    features = world.gather(features)
    together = {
        "variance": variance_loss(features),
        "covariance": covariance_loss(features),
        "contrast": contrastive_loss(vectors, movements, config.temperature),
    }
    weights = term_weights(config.losses) | {"contrast": config.contrast_weight, "single_hands": config.hand_weight}
    weighted = [weights[name] * term for name, term in terms.items()]
    weighted += [world.size * weights[name] * term for name, term in together.items()]
    shown = {name: term.detach() for name, term in (terms | together).items()}
    shown["nearest"] = nearest_share(vectors, movements)
    if cosine is not None:
        shown["bone_cosine"] = cosine.detach()
    return torch.stack(weighted).sum(), shown


def single_hand_loss(
    model: ContrastiveNetwork, config: ContrastiveConfig, rows: WindowTable, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The loss of all hands that are visible in some windows, seen singly, and the mean cosine of their bones."""
    size_px = model.reader.backbone.config.image_size
    with torch.no_grad():
        crops = hand_crops(rows, size_px, config.hand_augment, generator)
    if not len(crops.pictures):
        # Every process has a gradient of every weight: they are averaged.
        nothing = torch.stack([0.0 * weight.sum() for weight in model.reader.parameters()]).sum()
        return nothing, nothing
    with autocast(config.precision, crops.pictures.device):
        bones, points = model.read_hands(crops.pictures)
    return hand_loss(bones, points, crops)


def pose_terms(prediction: Prediction, rows: WindowTable, squares: Tensor, losses: Losses) -> dict[str, Tensor]:
    """SignRep's losses on poses, and that on the places of hands, before their weights."""
    targets, known = by_prior(rows.targets.float()), by_prior(rows.known)
    shown = slice(BEFORE, BEFORE + NUM_SHOWN)
    terms = {
        f"prior/{name}": prior_loss(values[:, shown], targets[name], known[name], PRIOR[name].psi, losses.prior_beta)
        for name, values in prediction.priors.items()
    }
    assert prediction.hands is not None
    hands = HandLocations(*(part.float() for part in prediction.hands))
    return terms | {
        "activity": activity_loss(prediction.activity_logits, rows.activity, rows.activity_known),
        "hands": hands_loss(hands, squares),
    }


def inside(squares: Tensor) -> Tensor:
    """Squares [N, 2, 3], NaN where their middle lies outside the frame."""
    shown = ((squares[..., :2] >= 0.0) & (squares[..., :2] <= 1.0)).all(dim=-1, keepdim=True)
    return torch.where(shown, squares, torch.nan)


def given_places(squares: Tensor, config: ContrastiveConfig, generator: torch.Generator) -> Tensor:
    """The true places of hands that the network is given, with noise, NaN where it uses its own: [N, 2, 3]."""
    noise = config.teacher_forcing_noise * torch.randn(squares.shape, generator=generator, device=squares.device)
    own = torch.rand(len(squares), generator=generator, device=squares.device) >= config.teacher_forcing
    noise[own] = torch.nan
    return squares + noise
