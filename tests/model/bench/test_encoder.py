from pathlib import Path

import numpy as np

from model.bench.encoder import Table, interleaved_times, published_pipeline
from model.embed import Embedder
from model.network.checkpoint import Checkpoint
from model.runtime.onnx_encoder import OnnxEncoder
from tests.clips import moving_square, write_clip


def test_the_authors_way_in_torch_gives_the_vector_that_serves(
    checkpoint: Checkpoint, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    write_clip(tmp_path / "clip.mp4", moving_square(31, width=96, height=64, centre=(60, 30)))
    served = Embedder(encoder, still=0).embed(tmp_path / "clip.mp4").vector
    np.testing.assert_allclose(
        published_pipeline(checkpoint.network(), 25, 1, tmp_path / "clip.mp4"), served, atol=1e-4
    )


def test_tasks_take_turns_after_a_first_run_each() -> None:
    calls: list[str] = []
    times = interleaved_times([lambda: calls.append("a"), lambda: calls.append("b")], repeats=2)
    assert "".join(calls) == "abababab"[:6]
    assert [len(seconds) for seconds in times] == [2, 2]


def test_a_table_is_markdown() -> None:
    text = Table("Speed", ("what", "s"), (("one", "1"), ("two", "2")), "Medians.").markdown()
    assert text == "## Speed\n\n| what | s |\n|---|---|\n| one | 1 |\n| two | 2 |\n\nMedians.\n"
