import errno
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.training.contrast.stage import SIZE_PX, duet
from tests.training.synth.conftest import gl  # noqa: F401
from training.contrast.__main__ import app
from training.contrast.drawn import find_duets, open_folder, read_duets, shape_of, write_duet
from training.contrast.moments import arrays
from training.contrast.theatre import Programme
from training.errors import DataError


def test_pairs_come_back_as_they_were(tmp_path: Path) -> None:
    pair = duet(7, "HOUSE__1", 30)
    write_duet(tmp_path, pair)
    (file,) = find_duets(tmp_path)
    (back,) = read_duets([file])
    assert (back.number, back.movement) == (7, pair.movement)
    for one, other in zip(pair.performances, back.performances, strict=True):
        for name, values in arrays(one).items():
            found = arrays(other)[name]
            assert found.dtype == values.dtype
            assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f"), name
    assert shape_of(file) == (3, SIZE_PX)
    assert [path.name for path in tmp_path.iterdir()] == ["000007.npz"]


def test_a_full_disk_leaves_no_half_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_duet(tmp_path, duet(1, "a", 30))

    def full(file: BinaryIO, **_: object) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match=r"pair 2 can't be written .* No space left on device; make room"):
        write_duet(tmp_path, duet(2, "b", 30))
    assert [path.name for path in tmp_path.iterdir()] == ["000001.npz"]


def test_only_movements_that_are_wanted_are_found(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write_duet(tmp_path, duet(number, name, 30))
    assert [file.stem for file in find_duets(tmp_path, lambda movement: movement.name == "b")] == ["000001"]


def test_what_is_no_pair_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no drawn pairs; `python -m training\.contrast draw"):
        find_duets(tmp_path)
    write_duet(tmp_path, duet(0, "a", 30))
    whole = (tmp_path / "000000.npz").read_bytes()
    (tmp_path / "000000.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"000000\.npz is no drawn pair"):
        list(find_duets(tmp_path))


def test_a_folder_holds_pairs_of_one_programme(tmp_path: Path) -> None:
    assert open_folder(tmp_path / "pairs", Programme(seed=1)) == set()
    write_duet(tmp_path / "pairs", duet(3, "a", 30))
    (tmp_path / "pairs" / ".000004.part").write_bytes(b"half")
    assert open_folder(tmp_path / "pairs", Programme(seed=1)) == {3}
    assert not (tmp_path / "pairs" / ".000004.part").exists()
    with pytest.raises(DataError, match="pairs of another programme"):
        open_folder(tmp_path / "pairs", Programme(seed=2))


@pytest.mark.gl
def test_the_command_draws_what_is_missing(gl: None, tmp_path: Path) -> None:  # noqa: F811
    given = ["draw", str(tmp_path / "pairs"), "--size-px", "64", "--moments", "2", "--processes", "1", "--pairs"]
    assert CliRunner().invoke(app, [*given, "1"]).exit_code == 0
    (first,) = find_duets(tmp_path / "pairs")
    written = first.stat().st_mtime_ns
    result = CliRunner().invoke(app, [*given, "2"])
    assert result.exit_code == 0, result.output
    assert len(find_duets(tmp_path / "pairs")) == 2
    assert first.stat().st_mtime_ns == written, "it is drawn once"
