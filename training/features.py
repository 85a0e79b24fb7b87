"""Features for translation: one embedding per window of every video, by a frozen encoder.

    python -m training.features ENCODER SENTENCES OUT [--reader phoenix14t]

    OUT/embeddings/NAME.npy      float32 [T, D], one row per window
    OUT/SPLIT.pkl.gz             all sentences of a split as the code of Sign Language Transformers reads them: a
                                 pickled list of dictionaries with name, signer, gloss, text, and sign, a torch tensor
                                 [T, D]
    OUT/features.json            encoder, stride, form
    OUT/report.json              failures and their reasons

All windows are encoded, by the serving runtime: translation needs an even time axis, so windows without motion are not
skipped. The same command resumes an interrupted one; a folder of another encoder is refused.

Paper: SignRep feeds the encoder's 768 values per window to an existing translation model (PHOENIX14T BLEU-4 20.38,
CSL-Daily 16.33).
"""

import gzip
import json
import os
import pickle
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import torch
import typer
from PIL import Image
from torch.nn.functional import interpolate

from model.embed import batches
from model.encoder import Floats, Frames
from model.runtime.onnx_encoder import OnnxEncoder
from model.video import VideoLimits, open_frames
from model.video.crop import cropped
from model.windows import slide
from training.atomic import write_atomically
from training.commands import refusals
from training.data.listing.sentences import PICTURES, READERS, Sentence, read_sentences
from training.errors import ClipError, ConfigError, DataError, OutputError
from training.parallel import WorkReport, run_parallel

LIMITS = VideoLimits(max_duration_s=4 * 3600.0, max_bytes=64 * 10**9)
BATCH = 16
FORM = 1
Item = TypeVar("Item")


@dataclass(frozen=True)
class FeaturePlan:
    """Settings of features."""

    encoder: Path
    stride_frames: int
    threads: int = 1
    """Of the encoder, in every process."""
    reader: str = "videos"
    """Name of the reader of the sentences, by which published results are found."""


def make_features(sentences: Sequence[Sentence], plan: FeaturePlan, out: Path, *, workers: int = 1) -> WorkReport:
    """Embed the sentences that have no embeddings yet, then write the file of every split.

    Args:
        sentences: of any splits.
        plan: the same for all sentences of a folder.
        out: folder of the features.
        workers: processes.

    Raises:
        OutputError: the folder holds features of another encoder or stride.
        ConfigError: the stride would skip frames.
        ModelError: the encoder can't be used.
    """
    _claim(out, plan)
    missing = [sentence for sentence in sentences if not has_embeddings(embeddings_path(out, sentence))]
    num_done: list[str] = []
    failed = run_parallel(
        missing,
        partial(embed_sentence, plan=plan, out=out),
        name=lambda sentence: sentence.name,
        workers=workers,
        phase="videos",
        on_result=lambda sentence, _: num_done.append(sentence.name),
    )
    report = WorkReport(len(num_done), len(sentences) - len(missing), failed)
    report.write(out / "report.json")
    for split in sorted({sentence.split for sentence in sentences}):
        write_split(out, split, [sentence for sentence in sentences if sentence.split == split])
    return report


def embed_sentence(sentence: Sentence, plan: FeaturePlan, out: Path) -> int:
    """Embed one sentence, write its file, and return the number of windows.

    Raises:
        VideoError: the video can't be read.
        ClipError: the folder has no pictures, or one can't be read.
    """
    encoder = _encoder(plan.encoder, plan.threads)
    config = encoder.info.pictures
    with open_sentence(sentence.source, encoder.info.fps, config.image_size) as frames:
        windows = ((window, 0.0) for window in slide(frames, config.num_frames, plan.stride_frames))
        stacked = (np.stack([window.frames for window, _ in batch]) for batch in batches(windows, BATCH))
        with closing(one_ahead(stacked)) as ready:
            parts = [encoder.encode(batch).embedding for batch in ready]
    embeddings = np.concatenate(parts)
    write_embeddings(embeddings_path(out, sentence), embeddings)
    return len(embeddings)


def write_embeddings(path: Path, embeddings: Floats) -> None:
    """Write the embeddings of one sentence, [T, D], in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            np.save(file, embeddings)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, each produced by a thread while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


@cache
def _encoder(path: Path, threads: int) -> OnnxEncoder:
    return OnnxEncoder(path, threads=threads)


@contextmanager
def open_sentence(source: Path, fps: float, size_px: int) -> Iterator[Iterator[Frames]]:
    """Square frames of a video, or of a folder with a picture per frame at the rate of the encoder."""
    if source.is_dir():
        yield read_pictures(source, fps, size_px)
    else:
        with open_frames(source, fps=fps, size=size_px, limits=LIMITS) as frames:
            yield frames


def read_pictures(folder: Path, fps: float, size_px: int) -> Iterator[Frames]:
    """The pictures of a folder by name, as squares that keep the signer.

    Args:
        folder: with a picture per frame.
        fps: their frames per second.
        size_px: rows and columns.

    Raises:
        ClipError: there is none, one can't be read, or they differ in size; it is named.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not paths:
        raise ClipError(f"{folder} holds no pictures ({', '.join(PICTURES)})")
    return cropped(_whole_pictures(paths, size_px), size_px, fps)


def _whole_pictures(paths: Sequence[Path], size_px: int) -> Iterator[Frames]:
    """Pictures of one size, the shorter side `size_px`."""
    shape = None
    for path in paths:
        frame = _read_picture(path, size_px)
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ClipError(f"{path} has another size than {paths[0].name}")
        yield frame


def _read_picture(path: Path, size_px: int) -> Frames:
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (size_px, size_px))  # a JPEG is decoded no larger than needed
            scale = size_px / min(picture.size)
            size = (max(size_px, round(picture.width * scale)), max(size_px, round(picture.height * scale)))
            pixels = np.array(picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise ClipError(f"{path} can't be read: {error}") from error
    # The values of Pillow's resize, within one level, in a quarter of its time.
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    resized = interpolate(planes, (size[1], size[0]), mode="bicubic", antialias=True)
    frame: Frames = resized[0].permute(1, 2, 0).numpy()
    return frame


def write_split(out: Path, split: str, sentences: Sequence[Sentence]) -> Path:
    """Write the sentences of a split that have embeddings to one file, in one step.

    Raises:
        DataError: a file of embeddings is damaged; delete it and run again.
    """
    path = out / f"{split}.pkl.gz"
    part = path.with_name(f".{path.name}.part")
    samples = [
        {
            "name": sentence.name,
            "signer": sentence.signer,
            "gloss": sentence.gloss,
            "text": sentence.text,
            "sign": torch.from_numpy(read_embeddings(embeddings_path(out, sentence))),
        }
        for sentence in sentences
        if embeddings_path(out, sentence).exists()
    ]
    try:
        with gzip.GzipFile(part, "wb", compresslevel=1, mtime=0) as file:
            pickle.dump(samples, file, protocol=4)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read_embeddings(path: Path) -> Floats:
    """The embeddings of one sentence, [T, D].

    Raises:
        DataError: the file is cut short or holds something else.
    """
    try:
        embeddings: Floats = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and run this again") from error
    if embeddings.ndim != 2 or embeddings.dtype != np.float32:
        raise DataError(f"{path} holds {embeddings.dtype} {list(embeddings.shape)}; features are float32 [T, D]")
    return embeddings


def has_embeddings(path: Path) -> bool:
    """Whether a file of embeddings exists and can be read; a damaged one is deleted."""
    if not path.exists():
        return False
    try:
        read_embeddings(path)
    except DataError:
        path.unlink()
        return False
    return True


def embeddings_path(out: Path, sentence: Sentence) -> Path:
    """The file of the embeddings of a sentence."""
    return out / "embeddings" / f"{sentence.name}.npy"


def _claim(out: Path, plan: FeaturePlan) -> None:
    """Write the settings that all features of the folder share, or refuse the folder if they differ."""
    info = _encoder(plan.encoder, plan.threads).info
    if plan.stride_frames > info.config.num_frames:
        raise ConfigError(
            f"stride_frames is {plan.stride_frames}; from 1 to {info.config.num_frames} every frame is in a window of"
            f" encoder {info.encoder_id}"
        )
    settings = {
        "form": FORM,
        "encoder_id": info.encoder_id,
        "dim": info.config.dim,
        "stride_frames": plan.stride_frames,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / "features.json"
    if path.exists():
        existing = json.loads(path.read_text(encoding="utf-8"))
        if {name: existing.get(name) for name in settings} != settings:
            raise OutputError(f"{out} holds features of {existing}, requested are {settings}; choose another folder")
        return
    provenance = {"provenance": info.provenance, "licence": info.licence, "window_frames": info.config.num_frames}
    write_atomically(path, json.dumps(settings | provenance | {"reader": plan.reader}, indent=1))


def main(
    encoder: Annotated[Path, typer.Argument(help="Encoder file.")],
    sentences: Annotated[Path, typer.Argument(help="Folder of videos or of a data set, or a list (.csv).")],
    out: Annotated[Path, typer.Argument(help="Folder for the features.")],
    *,
    reader: Annotated[str, typer.Option(help=f"What the folder is: {', '.join(READERS)}.")] = "videos",
    split: Annotated[list[str] | None, typer.Option(help="Only these splits.")] = None,
    stride_frames: Annotated[
        int | None, typer.Option(min=1, help="Frames between windows; that of the encoder if left out.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
) -> None:
    """Make the features of all sentences that have none yet. Exits with 1 when there are none at the end."""
    with refusals():
        listed = read_sentences(sentences, reader)
        listed = [one for one in listed if not split or one.split in split]
        stride = stride_frames or _encoder(encoder, 1).info.stride_frames
        report = make_features(listed, FeaturePlan(encoder, stride, reader=reader), out, workers=workers)
    typer.echo("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
