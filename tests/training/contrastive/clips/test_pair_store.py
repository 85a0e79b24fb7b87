import errno
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.training.contrastive.made_up import SIZE_PX, positive_pair
from tests.training.synth.conftest import gl  # noqa: F401
from training.contrastive.__main__ import app
from training.contrastive.clips.pair_renderer import PairRendererConfig
from training.contrastive.clips.pair_store import find_pairs, open_folder, read_pairs, shape_of, write_pair
from training.contrastive.clips.windows import arrays
from training.errors import DataError


def test_pairs_come_back_as_they_were(tmp_path: Path) -> None:
    pair = positive_pair(7, "HOUSE__1", 30)
    write_pair(tmp_path, pair)
    (file,) = find_pairs(tmp_path)
    (back,) = read_pairs([file])
    assert (back.number, back.movement) == (7, pair.movement)
    for one, other in zip(pair.clips, back.clips, strict=True):
        for name, values in arrays(one).items():
            found = arrays(other)[name]
            assert found.dtype == values.dtype
            assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f"), name
    assert shape_of(file) == (3, SIZE_PX)
    assert [path.name for path in tmp_path.iterdir()] == ["000007.npz"]


def test_a_full_disk_leaves_no_half_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(tmp_path, positive_pair(1, "a", 30))

    def full(file: BinaryIO, **_: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match=r"pair 2 can't be written .* No space left on device; make room"):
        write_pair(tmp_path, positive_pair(2, "b", 30))
    assert [path.name for path in tmp_path.iterdir()] == ["000001.npz"]


def test_only_movements_that_are_wanted_are_found(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_pair(tmp_path, positive_pair(number, name, 30))
    assert [file.stem for file in find_pairs(tmp_path, lambda movement: movement.name == "b")] == ["000001"]


def test_what_is_no_pair_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"holds no rendered pairs; render some with `python -m training\.contrastive render-pairs"
    ):
        find_pairs(tmp_path)
    write_pair(tmp_path, positive_pair(0, "a", 30))
    whole = (tmp_path / "000000.npz").read_bytes()
    (tmp_path / "000000.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"000000\.npz is no rendered pair"):
        list(find_pairs(tmp_path))


def test_a_folder_holds_pairs_of_one_config(tmp_path: Path) -> None:
    assert open_folder(tmp_path / "pairs", PairRendererConfig(seed=1)) == set()
    write_pair(tmp_path / "pairs", positive_pair(3, "a", 30))
    (tmp_path / "pairs" / ".000004.part").write_bytes(b"half")
    assert open_folder(tmp_path / "pairs", PairRendererConfig(seed=1)) == {3}
    assert not (tmp_path / "pairs" / ".000004.part").exists()
    with pytest.raises(DataError, match="pairs of other settings"):
        open_folder(tmp_path / "pairs", PairRendererConfig(seed=2))


@pytest.mark.gl
def test_the_command_renders_what_is_missing(gl: None, tmp_path: Path) -> None:  # noqa: F811
    given = ["render-pairs", str(tmp_path / "pairs"), "--size-px", "64", "--windows", "2", "--workers", "1", "--pairs"]
    assert CliRunner().invoke(app, [*given, "1"]).exit_code == 0
    (first,) = find_pairs(tmp_path / "pairs")
    written = first.stat().st_mtime_ns
    result = CliRunner().invoke(app, [*given, "2"])
    assert result.exit_code == 0, result.output
    assert len(find_pairs(tmp_path / "pairs")) == 2
    assert first.stat().st_mtime_ns == written, "it is rendered once"


def test_folders_of_earlier_versions_are_reopened(tmp_path: Path) -> None:
    (tmp_path / "programme.json").write_text(
        """{
 "seed": 1,
 "size_px": 256,
 "num_moments": 8,
 "motions": [],
 "reenacted": 0.5,
 "assets": null,
 "manners": null,
 "wide": 0.25,
 "resting": 0.3
}"""
    )
    assert open_folder(tmp_path, PairRendererConfig(seed=1)) == set()
