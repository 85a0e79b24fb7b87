"""Training, resuming, testing, exporting and naming, on tiny videos."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model.errors import CheckpointError, EncoderContractError, ExportError
from model.network.checkpoint import load_tensors
from tests.training.finetune.runs import ALONE, SIGNS, glimpses, run_config, save_encoder, write_set
from tests.training.pretrain.runs import Recorder
from training.data.listing.manifest import ListedClip
from training.errors import DataError, ResumeError
from training.finetune.__main__ import PRESETS as COMMANDS
from training.finetune.__main__ import app
from training.finetune.class_distribution import find_distribution
from training.finetune.command import read_data
from training.finetune.config import PRESETS, FinetuneConfig
from training.finetune.export import compare, export
from training.finetune.loop import finetune
from training.finetune.readers import TRAIN
from training.finetune.recogniser import OnnxRecogniser
from training.finetune.report import class_recall, confusions, draw_confusions, evaluate_clips, lines, predict_clip
from training.finetune.state import FinetuneState, read_start, read_trained, resume_run, start_run
from training.fit.files import BEST, LAST

ROOT = Path(__file__).resolve().parents[3]


def begin(config: FinetuneConfig, *, resume: bool = False) -> FinetuneState:
    """A run as the command makes it."""
    labelled = read_data(config)
    make = resume_run if resume else start_run
    run = make(config.resolved(len(labelled.clips(TRAIN)), 1), read_start(config), labelled.glosses, ALONE.device)
    if config.losses.distribution and not len(run.phi):
        run.phi = find_distribution(run, read_start(config), labelled.clips(TRAIN), ALONE, pytest.fail)
    return run


def learn(run: FinetuneState, **how: Any) -> Recorder:
    callbacks = Recorder()
    finetune(run, read_data(run.config), ALONE, callbacks=callbacks, **how)
    return callbacks


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop after so many steps."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= steps


@pytest.fixture(scope="module")
def glimpse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "glimpses.pt", glimpses())


def test_an_interrupted_run_ends_bit_for_bit_like_an_uninterrupted_one(
    tmp_path: Path, clips: Path, glimpse: Path
) -> None:
    seen = {"num_frames": 6, "num_moments": 2, "accumulate": 2}
    whole = begin(run_config(tmp_path / "whole", clips, glimpse, **seen))
    told = learn(whole)
    config = run_config(tmp_path / "parts", clips, glimpse, **seen)
    learn(begin(config), stop=after(1))
    parts = begin(config, resume=True)
    assert parts.step == 1
    rest = learn(parts)
    assert [report.terms for report in rest.reports] == [report.terms for report in told.reports[1:]]
    ours, theirs = (load_tensors(run.config.output / LAST) for run in (parts, whole))
    assert all(torch.equal(ours["recogniser"][name], value) for name, value in theirs["recogniser"].items())
    assert torch.equal(ours["phi"], theirs["phi"])
    assert set(told.reports[0].terms) == {"total", "cross_entropy", "distribution", "top-1", "grad_norm"}


def test_it_learns_to_tell_signs_of_which_it_saw_other_videos(tmp_path: Path, clips: Path, glimpse: Path) -> None:
    config = run_config(
        tmp_path, clips, glimpse, num_frames=6, num_moments=2, steps=50, augmented=False, validate_every=25
    )
    run = begin(config)
    callbacks = learn(run)
    assert callbacks.reports[0].terms["total"] > 1.5 * callbacks.reports[-1].terms["total"]
    best = read_trained(tmp_path / BEST)
    found = evaluate_clips(best, read_data(config).clips("test"))
    assert found.metrics.recall[1] == 100
    assert found.per_class[1] == 100
    assert best.licence == "CC BY-NC-SA 4.0"  # the encoder's
    assert "50 of 50 steps, data entries:" in read_trained(tmp_path / LAST).provenance


def test_a_run_of_other_settings_labels_or_kind_is_not_gone_on_with(tmp_path: Path, clips: Path, encoder: Path) -> None:
    config = run_config(tmp_path / "run", clips, encoder, num_frames=16)
    run = begin(replace(config, losses=replace(config.losses, distribution=0.0)))
    run.save_last()
    with pytest.raises(ResumeError, match=r"of another run: losses\.distribution was 0\.0 and is 0\.2; .*seed was 0"):
        begin(replace(config, seed=1), resume=True)
    with pytest.raises(ResumeError, match="knows 3 labels, the data now has 2; they differ in HOUSE"):
        resume_run(run.config, read_start(config), SIGNS[1:], ALONE.device)
    with pytest.raises(ResumeError, match=r"holds a run already; go on with it \(--resume\)"):
        begin(config)
    shutil.copy(encoder, config.output / LAST)
    with pytest.raises(ResumeError, match="is no run of fine-tuning to go on with: recogniser, labels"):
        begin(config, resume=True)


def test_a_checkpoint_of_another_geometry_is_named(tmp_path: Path, clips: Path, encoder: Path) -> None:
    content = load_tensors(encoder)
    content["encoder"]["embed_dim"] = 16
    torch.save(content, tmp_path / "wider.pt")
    with pytest.raises(CheckpointError, match=r"does not fit the network: .*is \[8, 3, 3, 7, 7\], expected \[16"):
        begin(run_config(tmp_path / "a", clips, tmp_path / "wider.pt", num_frames=16))
    with pytest.raises(CheckpointError, match="can't be inflated to 40 frames"):
        begin(run_config(tmp_path / "b", clips, encoder, num_frames=40))
    with pytest.raises(CheckpointError, match=r"has no recogniser, labels, .*an encoder's; fine-tune it first"):
        read_trained(encoder)


def test_a_broken_video_is_left_out_while_training_and_a_miss_in_the_test(tmp_path: Path, glimpse: Path) -> None:
    folder = write_set(tmp_path / "clips", {"train": 2, "test": 1})
    (folder / "train-TREE-0.mp4").write_bytes(b"no video")
    (folder / "test-TREE-0.mp4").write_bytes(b"no video")
    config = run_config(tmp_path / "run", folder, glimpse, num_frames=4, steps=2)
    config = replace(config, losses=replace(config.losses, distribution=0.0))
    run = begin(config)
    callbacks = learn(run)
    assert {reason.split(":")[0] for reason in callbacks.reasons} == {"train-TREE-0"}
    assert not callbacks.scores  # no split to validate on
    found = evaluate_clips(run.trained, read_data(config).clips("test"))
    assert [one.rank is None for one in found.predictions] == [False, True, False]
    assert [failure.name for failure in found.failed] == ["test-TREE-0"]
    assert "1 clips could not be read and count as misses:" in lines(found, config.data)
    (folder / "train-TREE-1.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match="1 labels have no clip that can be read: TREE"):
        find_distribution(run, read_start(config), read_data(config).clips(TRAIN), ALONE, lambda _: None)


def test_a_recogniser_file_names_signs_like_the_network_and_holds_its_labels(
    tmp_path: Path, clips: Path, encoder: Path
) -> None:
    run = begin(run_config(tmp_path / "run", clips, encoder, num_frames=64))
    assert run.network.encoder.config.patch_stride[0] == 8
    run.save_last()
    trained = read_trained(tmp_path / "run" / LAST)
    out = tmp_path / "out" / "inflated.onnx"
    assert max(export(trained, out).values()) < 1e-4
    assert list(out.parent.iterdir()) == [out]
    file = OnnxRecogniser(out, threads=1)
    assert file.info.labels == SIGNS
    assert file.info.licence == "CC BY-NC-SA 4.0"
    video = clips / "test-TREE-0.mp4"
    (ours,) = evaluate_clips(trained, [ListedClip("x", video, video, "TREE")]).predictions
    theirs = file.name(video, k=3)
    assert [label for label, _ in theirs] == [label for label, _ in ours.best]
    np.testing.assert_allclose([p for _, p in theirs], [p for _, p in ours.best], atol=1e-4)
    assert sum(p for _, p in theirs) == pytest.approx(1.0, abs=1e-5)
    with torch.no_grad():
        trained.network.head[1].bias[0] += 1.0  # type: ignore[index, operator]
    with pytest.raises(ExportError, match="the file differs from the network"):
        compare(trained, file)


def test_an_encoder_file_is_no_recogniser(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("clips", onnx.TensorProto.UINT8, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["clips"], ["out"])], "g", [value], [
        onnx.helper.make_tensor_value_info("out", onnx.TensorProto.UINT8, [1])
    ])  # fmt: skip
    onnx.save_model(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "e.onnx",
    )
    with pytest.raises(EncoderContractError, match="this file is no recogniser"):
        OnnxRecogniser(tmp_path / "e.onnx")


def test_ranks_per_clip_and_per_class_are_counted_by_hand() -> None:
    def named(gloss: str, *probabilities: float) -> Any:
        clip = ListedClip("c", Path("c.mp4"), Path("c.mp4"), gloss)
        return predict_clip(clip, np.array(probabilities, np.float32), ("A", "B", "C"))

    found = [named("A", 0.5, 0.3, 0.2), named("A", 0.2, 0.5, 0.3), named("A", 0.4, 0.5, 0.1), named("B", 0.1, 0.8, 0.1)]
    assert [one.rank for one in found] == [0, 2, 1, 0]
    assert class_recall(found)[1] == pytest.approx(100 * (1 / 3 + 1) / 2)
    assert named("UNKNOWN", 0.5, 0.3, 0.2).rank is None
    assert confusions(found) == {("A", "A"): 1, ("A", "B"): 2, ("B", "B"): 1}
    picture = np.asarray(draw_confusions(confusions(found)))
    assert picture.shape[2] == 3
    many = {(f"S{n:02d}", f"S{n + 1:02d}"): 1 for n in range(80)}
    assert draw_confusions(many).size == draw_confusions({(f"S{n:02d}", "S00"): 1 for n in range(40)}).size


def test_the_published_number_stands_beside_ours_on_the_whole_real_data(
    tmp_path: Path, clips: Path, glimpse: Path
) -> None:
    run = begin(run_config(tmp_path, clips, glimpse, num_frames=4, steps=1))
    found = evaluate_clips(run.trained, read_data(run.config).clips("test"))
    data = replace(run.config.data, reader="asl-citizen")
    assert "published for SignRep on asl-citizen: DCG 90.84, MRR 88.05, Rec@1 81.37, Rec@5 96.11" in lines(found, data)
    assert not any("published" in line for line in lines(found, replace(data, num_signs=100)))
    assert not any("published" in line for line in lines(found, run.config.data))


def test_the_commands_train_test_export_and_name(tmp_path: Path, clips: Path, glimpse: Path) -> None:
    def words(output: Path, *more: str) -> list[str]:
        values = [
            f"output={output}", f"start_from={glimpse}", f"data.folder={clips}", "data.workers=0", "num_frames=4",
            "num_moments=2", "steps=2", "batch_size=2", "device=cpu", f"data.cache={tmp_path / 'cache'}", *more,
        ]  # fmt: skip
        return ["compact", *(word for value in values for word in ("--set", value))]

    def run(*given: str) -> str:
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "3 clips, 3 labels: top-1" in run(*words(tmp_path / "run"))
    with Image.open(tmp_path / "run" / "confusions.png") as picture:
        assert picture.width > 0
    assert len((tmp_path / "run" / "named.csv").read_text().splitlines()) == 4
    again = json.loads(run("evaluate", str(tmp_path / "run" / LAST), "--split", "val", "--json"))
    assert again["num_clips"] == 3
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 12
    file = tmp_path / "model.onnx"
    assert "largest difference" in run("export", str(tmp_path / "run" / BEST), str(file))
    video = str(clips / "test-HOUSE-0.mp4")
    best = json.loads(run("predict", str(file), video, "--k", "2", "--json"))["best"]
    assert {one["label"] for one in best} < set(SIGNS)
    assert len(best) == 2

    for given, message in [
        (words(tmp_path / "new", "lr=1"), "unknown setting 'lr'; valid are preset, output, start_from, data.reader"),
        (words(tmp_path / "new", "start_from="), "start_from is empty; name a checkpoint"),
        (words(tmp_path / "new", "data.reader=x"), "data.reader is x; it must be one of entries, wlasl"),
        (words(tmp_path / "run"), "holds a run already"),
        (["evaluate", str(glimpse)], "it is a checkpoint, but an encoder's"),
        (["predict", str(tmp_path / "none.onnx"), video], "none.onnx"),
    ]:
        result = CliRunner().invoke(app, given)
        assert result.exit_code == 1, given
        assert result.stderr.startswith("error: ")
        assert message in result.stderr, result.stderr
    result = CliRunner().invoke(app, ["predict", str(file), str(clips / "entries.csv"), video])
    assert result.exit_code == 1
    assert "entries.csv: " in result.stderr
    assert "test-HOUSE-0.mp4: " in result.stdout


def test_every_preset_is_a_command() -> None:
    assert list(COMMANDS) == list(PRESETS)
    assert all(make().preset == name for name, make in PRESETS.items())


def test_naming_signs_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import training.finetune.__main__, training.finetune.recogniser\n"
        "assert not any(name.startswith('torch.') for name in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_two_processes_learn_like_one_with_twice_the_batch(tmp_path: Path, clips: Path, glimpse: Path) -> None:
    flat = tmp_path / "flat.pt"
    save_encoder(flat, replace(glimpses(), drop_path=0.0))
    alike = [
        f"start_from={flat}", f"data.folder={clips}", "data.workers=0", "num_frames=4", "num_moments=2", "steps=3",
        "device=cpu", "augmented=false", "log_every=1", "optimiser.warmup_steps=1",
    ]  # fmt: skip

    def words(output: str, batch_size: int) -> list[str]:
        values = [*alike, f"output={tmp_path / output}", f"batch_size={batch_size}"]
        return ["compact", *(word for value in values for word in ("--set", value))]

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = [*torchrun, "-m", "training.finetune", *words("two", 2)]
    finished = subprocess.run(two, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    one = CliRunner().invoke(app, words("one", 4))
    assert one.exit_code == 0, one.output
    ours, theirs = (load_tensors(tmp_path / name / LAST) for name in ("two", "one"))
    torch.testing.assert_close(ours["phi"], theirs["phi"])
    for name in ("head.1.weight", "encoder.fc.1.weight", "encoder.hands.backbone.blocks.0.mlp.fc1.weight"):
        torch.testing.assert_close(ours["recogniser"][name], theirs["recogniser"][name], rtol=1e-3, atol=1e-5)
