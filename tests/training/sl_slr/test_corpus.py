"""Where clips come from."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.sl_slr.conftest import write_landmarks
from training.errors import ConfigError, DataError
from training.sl_slr.config import Data
from training.sl_slr.corpus import lexicon, open_corpus, parse_source, read_kept, write_kept
from training.sl_slr.sequences import Sequence61


def test_every_signer_performs_every_sign(performed: tuple[Sequence61, ...]) -> None:
    assert len({(clip.gloss, clip.signer) for clip in performed}) == 9
    assert len({clip.gloss for clip in performed}) == 3
    assert all(clip.raised.any() for clip in performed)


def test_the_same_signer_performs_the_same_whoever_else_does(performed: tuple[Sequence61, ...]) -> None:
    alone = lexicon(3, 1, 6, first_signer=2)
    for clip in alone:
        same = next(one for one in performed if (one.gloss, one.signer) == (clip.gloss, clip.signer))
        np.testing.assert_array_equal(clip.keypoints, same.keypoints)


def test_kept_clips_come_back_as_they_were(performed: tuple[Sequence61, ...], tmp_path: Path) -> None:
    write_kept(tmp_path / "kept.npz", performed)
    for clip, again in zip(performed, read_kept(tmp_path / "kept.npz"), strict=True):
        np.testing.assert_array_equal(clip.keypoints, again.keypoints)
        np.testing.assert_array_equal(clip.known, again.known)
        np.testing.assert_array_equal(clip.points, again.points)
        assert (clip.gloss, clip.signer) == (again.gloss, again.signer)


def test_a_second_run_takes_kept_clips(tmp_path: Path) -> None:
    first = lexicon(1, 1, 5, cache=str(tmp_path))
    (file,) = tmp_path.iterdir()
    changed = [Sequence61(clip.keypoints + 1, clip.known, clip.points, clip.gloss, clip.signer) for clip in first]
    write_kept(file, changed)
    np.testing.assert_array_equal(lexicon(1, 1, 5, cache=str(tmp_path))[0].keypoints, first[0].keypoints + 1)
    assert len(lexicon(1, 1, 6, cache=str(tmp_path))) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_kept_clips_are_named(tmp_path: Path) -> None:
    (tmp_path / "kept.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"kept\.npz.*delete it"):
        read_kept(tmp_path / "kept.npz")


def test_sources_are_read_with_their_weights(tmp_path: Path) -> None:
    folder = write_landmarks(tmp_path / "poses", "one__1", "two__2")
    (folder / "bad.mp4.npz").write_bytes(b"")
    corpus = open_corpus(Data(sources=("lexicon:1x2@3", f"poses:{folder}", f"reenacted:{folder}x2@0.5")))
    assert corpus.weights == (3.0, 1.0, 0.5)
    assert corpus.sources == (0, 0, 1, 1, 2, 2, 2, 2)
    assert len(corpus.failed) == 2
    # Two bodies that re-enact one clip are partners; two clips are not.
    assert corpus.partners_of(4, corpus.partners()) == [4, 5]


def test_glosses_that_two_folders_share_are_left_out(tmp_path: Path) -> None:
    a = write_landmarks(tmp_path / "a", "one__1", "two__2")
    b = write_landmarks(tmp_path / "b", "two__3", "four__4")
    data = Data(sources=(f"poses:{a}", f"reenacted:{b}x1"), leave_out=(str(a), str(b)))
    assert [clip.gloss.split("__")[0] for clip in open_corpus(data).clips] == ["one", "four"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("videos:here", "allowed are lexicon"),
        ("lexicon", "allowed are lexicon"),
        ("poses:", "allowed are lexicon"),
        ("lexicon:3x3@none", "a weight is a number above 0"),
        ("lexicon:3x3@0", "a weight is a number above 0"),
        ("lexicon:3x3@inf", "a weight is a number above 0"),
    ],
)
def test_a_source_that_is_none_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_source(text)


@pytest.mark.parametrize("text", ["lexicon:3", "lexicon:0x3", "lexicon:ax3", "reenacted:somewhere", "reenacted:ax0"])
def test_numbers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="takes"):
        open_corpus(Data(sources=(text,)))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone holds no landmarks"):
        open_corpus(Data(sources=(f"reenacted:{tmp_path / 'gone'}x2",)))
