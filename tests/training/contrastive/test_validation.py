from pathlib import Path

import pytest

from tests.training.contrastive.made_up import CPU, run_config, write_shard
from training.contrastive.clips.shard_clips import read_clips
from training.contrastive.state import make_state
from training.contrastive.validation import make_validation_set, validate
from training.errors import DataError


def test_clips_are_retrieved_across_signers_by_their_rank(tmp_path: Path) -> None:
    names = {"ann/A__1": 20, "ann/B__1": 90, "ben/A__2": 20, "ben/B__2": 90}
    clips = list(read_clips(write_shard(tmp_path / "held", names), None, threads=1))
    state = make_state(run_config(), CPU)
    state.network.eval()
    found = validate(state, make_validation_set(clips, CPU))
    assert found["ann@1"] == found["ben@1"] == 100.0, "clips of one gloss are the same pictures here"
    assert found["ann@5"] == found["score"] == 100.0
    assert -1.0 <= found["bone_cosine"] <= 1.0


def test_held_out_clips_of_which_nothing_can_be_retrieved_are_refused(tmp_path: Path) -> None:
    clips = list(read_clips(write_shard(tmp_path / "held", {"ann/A__1": 20, "ben/B__2": 90}), None, threads=1))
    with pytest.raises(DataError, match="no gloss of the held-out clips is signed by two signers"):
        make_validation_set(clips, CPU)
