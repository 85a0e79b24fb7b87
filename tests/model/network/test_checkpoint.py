import logging
import pickle
from pathlib import Path

import pytest
import torch

from model.config import base, small
from model.errors import CheckpointError
from model.network.checkpoint import Checkpoint, load_kinetics, read_checkpoint, untrained
from model.network.hiera import Hiera
from model.network.signrep import SignRep
from tests.model.micro import micro


@pytest.fixture
def state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return dict(checkpoint.state)


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def ours(state: dict[str, torch.Tensor]) -> dict[str, object]:
    return {
        "model": state,
        "encoder": micro().to_json(),
        "fps": 12.5,
        "stride_frames": 4,
        "provenance": "made for a test",
        "licence": "Apache-2.0",
        "trained": True,
    }


def test_our_checkpoint_comes_back_as_it_was_saved(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    read = read_checkpoint(save(tmp_path / "c.pt", ours(state)))
    assert (read.config, read.fps, read.stride_frames, read.trained) == (micro(), 12.5, 4, True)
    network = read.network()
    assert not network.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_checkpoint_without_geometry_is_the_published_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    published = {name: tensor.half() for name, tensor in SignRep(base()).state_dict().items()}
    published["cls_head.latent_proj.0.weight"] = torch.zeros(2)
    read = read_checkpoint(save(tmp_path / "ckpt.pt", {"model": published}))
    assert (read.config, read.licence, read.stride_frames) == (base(), "CC BY-NC-SA 4.0", 2)
    with caplog.at_level(logging.INFO):
        read.network()
    assert "cls_head.latent_proj.0.weight" in caplog.text


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    del state["backbone.blocks.0.norm1.weight"]
    state["backbone.surplus"] = torch.zeros(3)
    state["fc.1.weight"] = torch.zeros(4, 5)
    read = read_checkpoint(save(tmp_path / "c.pt", ours(state)))
    with pytest.raises(CheckpointError) as raised:
        read.network()
    message = str(raised.value)
    assert "missing backbone.blocks.0.norm1.weight [8]" in message
    assert "extra backbone.surplus [3]" in message
    assert "fc.1.weight is [4, 5], expected [64, 64]" in message


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code from the checkpoint ran",))


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (save(tmp_path / "zip.pt", {"model": Trap()}), tmp_path / "raw.pt"):
        if not path.exists():
            path.write_bytes(pickle.dumps({"model": Trap()}))
        with pytest.raises(CheckpointError, match=r"would run code|is no checkpoint"):
            read_checkpoint(path)
    assert "code from" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no checkpoint file"),
        (b"hello, I am no checkpoint", "is no checkpoint file"),
        (None, "there is no checkpoint at"),
        ([1, 2], "holds a list; a checkpoint is a dictionary"),
        ({"weights": {}}, r"holds \['weights'\]"),
    ],
)
def test_what_is_no_checkpoint_is_refused_with_what_was_seen(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "c.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save(path, content)
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(path)


def test_geometry_that_makes_no_encoder_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    content = ours(state) | {"encoder": micro().to_json() | {"image_size": 100}}
    with pytest.raises(CheckpointError, match="100 rows of a window do not divide"):
        read_checkpoint(save(tmp_path / "c.pt", content))


def test_the_kinetics_checkpoint_starts_a_backbone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = Hiera(micro()), Hiera(micro())
    extra = {"decoder_embed.weight": torch.zeros(1), "mask_token": torch.zeros(1), "encoder_norm.bias": torch.zeros(1)}
    path = save(tmp_path / "mae.pt", {"model_state": dict(source.state_dict()) | extra})
    with caplog.at_level(logging.INFO):
        load_kinetics(target, path)
    assert torch.equal(source.blocks[2].attn.qkv.weight, target.blocks[2].attn.qkv.weight)
    assert all(name in caplog.text for name in extra)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_kinetics(Hiera(small()), path)


def test_untrained_weights_are_the_same_for_the_same_seed() -> None:
    first, again, other = (untrained(micro(), "micro", seed).state["fc.1.weight"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
