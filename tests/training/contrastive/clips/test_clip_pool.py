import numpy as np
import pytest
import torch

from tests.training.contrastive.made_up import SIZE_PX, positive_pair, some_windows
from training.contrastive.clips.clip_pool import ClipPool, StoredClip, make_table, spread_rows, window_bytes
from training.contrastive.clips.pair_renderer import PAIRS_PER_CAST, Movement
from training.errors import DataError

CPU = torch.device("cpu")


def make_pool(num_pairs: int = 4, num_real: int = 6) -> ClipPool:
    return ClipPool(make_table(num_real + num_pairs * 6, SIZE_PX, CPU), num_windows=3, max_pairs=num_pairs)


def brightness(pool: ClipPool, rows: torch.Tensor) -> list[int]:
    """Of the clips, [.., W] rows."""
    return pool.rows.frames[rows[..., 0].flatten(), 0, 0, 0, 0].tolist()


def test_real_clips_come_with_their_movement_by_a_synthetic_signer_or_with_themselves() -> None:
    pool, movement = make_pool(), Movement("HOUSE__1", mirrored=False)
    pool.add_clip(some_windows(10), movement)
    rng = np.random.default_rng(0)
    alone = pool.sample(5, 0, 3, rng)
    assert brightness(pool, alone.rows) == [10, 10]
    pool.add_pair(positive_pair(0, "HOUSE__1", 20))
    pool.add_pair(positive_pair(1, "another", 30))
    partners = {brightness(pool, pool.sample(5, 0, 3, rng).rows)[1] for _ in range(60)}
    assert partners == {10, 20, 21}


def test_the_same_movement_in_a_mirror_is_another_one() -> None:
    pool = make_pool()
    pool.add_clip(some_windows(10), Movement("HOUSE__1", mirrored=True))
    pool.add_pair(positive_pair(0, "HOUSE__1", 20))
    sampled = pool.sample(1, 1, 3, np.random.default_rng(0))
    assert len(set(sampled.movements.tolist())) == 2
    assert brightness(pool, sampled.rows[:1]) == [10, 10]


def test_rendered_pairs_come_cast_by_cast() -> None:
    pool = make_pool(num_pairs=6)
    for cast in range(3):
        for part in range(2):
            number = cast * PAIRS_PER_CAST + part
            pool.add_pair(positive_pair(number, f"{number}", 20 * cast + 2 * part))
    for seed in range(10):
        sampled = pool.sample(0, 4, 3, np.random.default_rng(seed))
        firsts = brightness(pool, sampled.rows[:, 0])
        assert firsts[0] // 20 == firsts[1] // 20
        assert firsts[2] // 20 == firsts[3] // 20
        assert [second - first for first, second in zip(firsts, brightness(pool, sampled.rows[:, 1]), strict=True)] == [
            1
        ] * 4


def test_everything_known_of_a_window_is_found_at_its_row() -> None:
    pool, moments = make_pool(), some_windows(10, bend=0.9)
    pool.add_clip(some_windows(5), Movement("first", mirrored=False))
    pool.add_clip(moments, Movement("second", mirrored=False))
    rows = pool.rows.at(torch.arange(3, 6))
    for name in ("frames", "targets", "known", "activity", "activity_known", "hands", "points"):
        assert torch.equal(
            getattr(rows, name), torch.from_numpy(getattr(moments, name)).to(getattr(rows, name).dtype)
        ), name


def test_windows_are_spread_over_a_clip() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([spread_rows(StoredClip(Movement("", mirrored=False), 100, 8), 4, rng) for _ in range(50)])
    assert set(rows[:, 0]) == {100, 101}
    assert set(rows[:, 3]) == {106, 107}
    assert spread_rows(StoredClip(Movement("", mirrored=False), 7, 1), 3, rng).tolist() == [7, 7, 7]


def test_what_does_not_fit_is_refused_and_so_is_training_on_nothing() -> None:
    pool = make_pool(num_pairs=1, num_real=3)
    with pytest.raises(DataError, match="nothing to train on"):
        pool.sample(2, 2, 3, np.random.default_rng(0))
    pool.add_clip(some_windows(1), Movement("a", mirrored=False))
    with pytest.raises(DataError, match="6 windows of real clips; there is room for 3"):
        pool.add_clip(some_windows(1), Movement("b", mirrored=False))
    pool.add_pair(positive_pair(0, "c", 1))
    with pytest.raises(DataError, match="room for 1 pairs"):
        pool.add_pair(positive_pair(1, "d", 1))


def test_how_much_memory_windows_take_is_known_beforehand() -> None:
    rows = make_table(10, SIZE_PX, CPU)
    taken = sum(getattr(rows, name).nbytes for name in rows.__dataclass_fields__)
    assert taken / 10 <= window_bytes(SIZE_PX) <= 1.05 * taken / 10


def test_frames_that_do_not_fit_on_the_disk_are_refused_before_anything_is_read() -> None:
    with pytest.raises(DataError, match=r"GB of frames do not fit into .*, which has .* GB; make room, set TMPDIR"):
        make_table(1 << 40, SIZE_PX, CPU)
