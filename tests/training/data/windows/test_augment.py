import numpy as np
import pytest
import torch

from training.data.windows.augment import Augmenter, AugmentParams, resize

OFF = {"crop_area": (1.0, 1.0), "crop_aspect": (1.0, 1.0), "planckian": 0.0, "blur": 0.0, "grayscale": 0.0}


@pytest.fixture
def frames() -> torch.Tensor:
    """Two windows, each of one picture that stands still."""
    pictures = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(pictures.flatten(0, 1), (64, 64), mode="bilinear")
    return (smooth * 255).to(torch.uint8).movedim(1, -1)[:, None].repeat(1, 16, 1, 1, 1)


def augmented(frames: torch.Tensor, size_px: int = 48, seed: int = 0, **changes: object) -> torch.Tensor:
    augmenter = Augmenter(AugmentParams(**(OFF | changes)), size_px)  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    return torch.stack([torch.from_numpy(augmenter(window.numpy(), rng)[0]) for window in frames])


def test_with_everything_off_it_only_resizes(frames: torch.Tensor) -> None:
    assert torch.equal(augmented(frames, 64), frames)
    smaller = augmented(frames)
    assert smaller.shape == (2, 16, 48, 48, 3)
    assert (smaller.int() - resize(frames, 48).int()).abs().float().mean() < 3


@pytest.mark.parametrize(
    "changes",
    [{"crop_area": (0.3, 0.6)}, {"planckian": 1.0}, {"exposure": 1.0}, {"blur": 1.0, "blur_sigma_px": (1.5, 2.0)}],
)
def test_frames_of_a_window_change_alike_and_windows_differently(
    frames: torch.Tensor, changes: dict[str, object]
) -> None:
    frames = frames[:1].repeat(2, 1, 1, 1, 1)  # the same window twice
    changed = augmented(frames, 64, **changes)
    assert not torch.equal(changed, frames)
    assert (changed == changed[:, :1]).all()
    assert not torch.equal(changed[0], changed[1])


def test_grayscale_leaves_no_colour(frames: torch.Tensor) -> None:
    changed = augmented(frames, grayscale=1.0).int()
    assert (changed.amax(-1) - changed.amin(-1)).max() <= 1
    assert (frames.int().amax(-1) - frames.int().amin(-1)).max() > 50


def test_a_seed_repeats_it(frames: torch.Tensor) -> None:
    everything: dict[str, object] = {"crop_area": (0.5, 1.0), "planckian": 0.5, "blur": 0.5, "grayscale": 0.5}
    assert torch.equal(augmented(frames, seed=4, **everything), augmented(frames, seed=4, **everything))
    assert not torch.equal(augmented(frames, seed=4, **everything), augmented(frames, seed=5, **everything))


def test_resizing_keeps_the_mean_colour(frames: torch.Tensor) -> None:
    small = resize(frames, 16).float().mean(dim=(1, 2, 3))
    assert torch.allclose(small, frames.float().mean(dim=(1, 2, 3)), atol=1.5)


def test_places_move_with_the_crop() -> None:
    window = np.zeros((2, 64, 64, 3), np.uint8)
    window[:, 38:42, 18:22] = 255  # a dot in the middle of (20, 40)
    augmenter = Augmenter(AugmentParams(**(OFF | {"crop_area": (0.5, 0.8)})), 64)  # type: ignore[arg-type]
    changed, box = augmenter(window, np.random.default_rng(2))
    rows, columns = np.nonzero(changed[0, ..., 1] > 128)
    square = np.array([20, 40, 12], np.float32) / 64
    found = box.inside(square) * 64
    assert found[2] == pytest.approx(12 * 64 / np.sqrt(box.height * box.width), rel=1e-5)
    found = found[:2]
    assert found == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=1)
    assert np.abs(found - [20, 40]).max() > 2, "the crop moved nothing"


def test_a_signer_can_become_smaller_and_the_edge_goes_on_around() -> None:
    window = np.full((2, 64, 64, 3), 90, np.uint8)
    window[:, 30:34, 30:34] = 255
    changed, box = Augmenter(AugmentParams(**(OFF | {"crop_area": (3.9, 4.1)})), 64)(window, np.random.default_rng(0))  # type: ignore[arg-type]
    assert box.height > 110
    assert (box.top, box.left) <= (0, 0)
    assert changed[:, 0].min() == changed[:, -1].max() == 90
    rows, columns = np.nonzero(changed[0, ..., 1] > 128)
    found = box.inside(np.array([32, 32, 4], np.float32) / 64) * 64
    assert found[:2] == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=1)
    assert found[2] == pytest.approx(2, abs=0.2)
