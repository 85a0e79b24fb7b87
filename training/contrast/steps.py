"""What one step of learning to look up asks of the network.

Every step sees movements by two people each, and asks all that SignRep asks (every prior, activity, spread embeddings),
where the hands are, what single hands show, and that the same movement lies together.
"""

import torch
from torch import Tensor, nn

from model.hands import HandPlaces, Hands
from training.closeup.learn import HandReader, closeup_loss
from training.contrast.glimpses import glimpses
from training.contrast.lesson import Lesson
from training.contrast.looks import changed, draw_seen, shaded
from training.contrast.losses import contrast_loss, found_share, pooled
from training.contrast.moments import BEFORE, NUM_SHOWN, apart
from training.contrast.pool import Draw, Rows
from training.fit.distributed import World
from training.fit.loop import autocast
from training.pretrain.config import Losses
from training.pretrain.losses import activity_loss, covariance_loss, hands_loss, prior_loss, variance_loss
from training.pretrain.network import Prediction, PretrainNetwork
from training.pretrain.objective import term_weights
from training.prior_table import PRIOR


class Learner(nn.Module):
    """What learns, on its device, among the processes that learn together."""

    def __init__(self, network: PretrainNetwork, lesson: Lesson, world: World) -> None:
        """Put what reads single hands on the network's closer look, and hold still what is not to learn."""
        super().__init__()
        hands, config = network.encoder.hands, network.encoder.config
        assert isinstance(hands, Hands)
        self.network = network.to(world.device).train()
        self.reader = HandReader(hands.backbone, config.hand_config).to(world.device).train()
        self.world = world
        if not lesson.frame:
            network.encoder.backbone.requires_grad_(False).eval()
        self.see, self.read, self.shade = self.network.forward, self.reader.forward, shaded
        if lesson.compile:
            self.see, self.read = torch.compile(self.see), torch.compile(self.read)
            self.shade = torch.compile(self.shade)


Told = tuple[Tensor, dict[str, Tensor]]


def step_losses(learner: Learner, lesson: Lesson, pool: Rows, draw: Draw, generator: torch.Generator) -> Told:
    """What to descend in a step, and every term before its weight.

    Poses are compared process by process, vectors with those of all processes, of which only a process's own carry a
    gradient: so these terms count as often as there are processes, and the mean of all gradients is that of one
    process with all batches.

    Args:
        learner: what learns.
        lesson: what is asked for.
        pool: of which `draw` names the rows.
        draw: what this process learns from.
        generator: draws looks, on the pool's device.
    """
    world, shape = learner.world, draw.rows.shape
    rows = pool.at(draw.rows.flatten())
    num_clips = shape[0] * shape[1]
    clips = torch.arange(num_clips, device=world.device).repeat_interleave(shape[2])
    with torch.no_grad():
        seen = draw_seen(num_clips, lesson.looks, generator)
        windows = changed(rows.frames, seen, clips, lesson.looks, generator, learner.shade)
        squares = inside(seen.places(rows.hands, clips))
    with autocast(lesson.precision, world.device):
        prediction = learner.see(windows, None, tell(squares, lesson, generator))
    terms = pose_terms(prediction, rows, squares, lesson.losses)
    terms["closeup"], cosine = prediction.features.new_zeros((), dtype=torch.float32), None
    if lesson.closeup:
        terms["closeup"], cosine = hand_losses(learner, lesson, rows, generator)

    features = prediction.features.float()
    logits = prediction.activity_logits.reshape(*shape, -1)
    vectors = pooled(features.reshape(*shape, -1), logits, lesson.num_parts)
    vectors, movements = world.gather(vectors), world.gather(draw.movements)
    features = world.gather(features)
    together = {
        "variance": variance_loss(features),
        "covariance": covariance_loss(features),
        "contrast": contrast_loss(vectors, movements, lesson.temperature),
    }
    weights = term_weights(lesson.losses) | {"contrast": lesson.contrast, "closeup": lesson.closeup}
    counted = [weights[name] * term for name, term in terms.items()]
    counted += [world.size * weights[name] * term for name, term in together.items()]
    shown = {name: term.detach() for name, term in (terms | together).items()}
    shown["found"] = found_share(vectors, movements)
    if cosine is not None:
        shown["cosine"] = cosine.detach()
    return torch.stack(counted).sum(), shown


def hand_losses(learner: Learner, lesson: Lesson, rows: Rows, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What single hands show, of all that can be seen in some moments: the loss and the mean cosine of bones."""
    size_px = learner.reader.backbone.config.image_size
    with torch.no_grad():
        pictures, bones, points = glimpses(rows, size_px, lesson.hand_looks, generator)
    if not len(pictures):
        # Every process has a gradient of every weight: they are averaged.
        nothing = torch.stack([0.0 * weight.sum() for weight in learner.reader.parameters()]).sum()
        return nothing, nothing
    with autocast(lesson.precision, learner.world.device):
        read = learner.read(pictures)
    return closeup_loss(read, bones, points)


def pose_terms(prediction: Prediction, rows: Rows, squares: Tensor, losses: Losses) -> dict[str, Tensor]:
    """What SignRep asks, and where the hands are, before their weights."""
    targets, known = apart(rows.targets.float()), apart(rows.known)
    shown = slice(BEFORE, BEFORE + NUM_SHOWN)
    terms = {
        f"prior/{name}": prior_loss(values[:, shown], targets[name], known[name], PRIOR[name].psi, losses.prior_beta)
        for name, values in prediction.priors.items()
    }
    assert prediction.hands is not None
    hands = HandPlaces(*(part.float() for part in prediction.hands))
    return terms | {
        "activity": activity_loss(prediction.activity_logits, rows.activity, rows.activity_known),
        "hands": hands_loss(hands, squares),
    }


def inside(squares: Tensor) -> Tensor:
    """Squares [N, 2, 3], NaN where their middle lies outside the frame."""
    shown = ((squares[..., :2] >= 0.0) & (squares[..., :2] <= 1.0)).all(dim=-1, keepdim=True)
    return torch.where(shown, squares, torch.nan)


def tell(squares: Tensor, lesson: Lesson, generator: torch.Generator) -> Tensor:
    """What the network is told of where the hands are, not quite exactly and not always: [N, 2, 3]."""
    error = lesson.told_error * torch.randn(squares.shape, generator=generator, device=squares.device)
    untold = torch.rand(len(squares), generator=generator, device=squares.device) >= lesson.told
    error[untold] = torch.nan
    return squares + error
