"""Published encoders on one's own disk: download the checkpoint, verify it, convert it to an encoder file.

    python -m model fetch signrep [--data DIR] [--from FILE] [--precision fp16]

leaves DATA/downloads/signrep-v0.0.1.pt, DATA/encoders/signrep.onnx (with fp16 signrep.fp16.onnx) and, beside it,
signrep.json: the record by which a second run knows that there is nothing left to do.
"""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from model.errors import FetchError, ModelError
from model.weights.download import (
    ProgressCallbacks,
    ReleaseAsset,
    download,
    make_folder,
    num_bytes_of,
    part_of,
    publish,
    require_room,
    room_or_refusal,
    sha256_of,
    verify,
)

SIGNREP = ReleaseAsset(
    name="signrep-v0.0.1.pt",
    origin="SignRep, release v0.0.1 of github.com/ryanwongsa/SignRep",
    url="https://github.com/ryanwongsa/SignRep/releases/download/v0.0.1/ckpt.pt",
    num_bytes=222_676_746,
    sha256="f8be8ca44aec4d7066175dccc681338f376ec86de6ba72bc79223a6bbd3c766b",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
)
PUBLISHED_ENCODERS = {"signrep": SIGNREP}

Precision = Literal["fp32", "fp16"]
SUFFIXES = {"fp32": ".onnx", "fp16": ".fp16.onnx"}
"""Of encoder files; `model.runtime.onnx_encoder.half_precision_beside` finds the second beside the first."""
Converter = Callable[[Path, Path], None]
"""Writes the encoder file (second path) that a checkpoint (first path) makes, or raises a `ModelError`."""


@dataclass(frozen=True)
class FetchRequest:
    """A published encoder that is requested."""

    encoder: str
    """Name of the encoder: the file is called DATA/encoders/NAME.onnx, or NAME.fp16.onnx."""
    asset: ReleaseAsset
    """The checkpoint it is made from."""
    data: Path
    precision: Precision = "fp32"
    source: Path | None = None
    """A checkpoint already on this machine; None downloads it."""

    @property
    def encoder_file(self) -> Path:
        """Where the encoder will be; the float16 one beside the other, where a GPU takes it instead."""
        return self.data / "encoders" / f"{self.encoder}{SUFFIXES[self.precision]}"

    @property
    def record_file(self) -> Path:
        """Where it is written down how the encoder was made."""
        return self.encoder_file.with_suffix(".json")

    @property
    def downloads(self) -> Path:
        """The folder for checkpoints."""
        return self.data / "downloads"


@dataclass(frozen=True)
class ConversionRecord:
    """How an encoder file was made, and how to know that it is still that file."""

    encoder_sha256: str
    checkpoint_sha256: str
    precision: str
    licence: str
    licence_url: str

    @property
    def encoder_id(self) -> str:
        """Name of the encoder in every snapshot, 12 hex digits."""
        return self.encoder_sha256[:12]


@dataclass(frozen=True)
class FetchResult:
    """The encoder file of a request, and whether it was made just now."""

    request: FetchRequest
    record: ConversionRecord
    converted: bool
    """False where the encoder was there already."""

    def to_json(self) -> dict[str, Any]:
        """The answer of `--json`."""
        return {
            "encoder": str(self.request.encoder_file),
            "encoder_id": self.record.encoder_id,
            "converted": self.converted,
            **dataclasses.asdict(self.record),
        }


def fetch(
    request: FetchRequest, load_converter: Callable[[FetchRequest], Converter], callbacks: ProgressCallbacks
) -> FetchResult:
    """Make a published encoder available, doing only what is not done yet.

    Args:
        request: what is requested.
        load_converter: gives the converter, or raises where this environment can't convert. Called before a download.
        callbacks: called with progress.

    Raises:
        FetchError: the checkpoint can't be had or is not the published one, or there is no place to put it.
        ModelError: the checkpoint can't be converted.
    """
    if request.source is not None:
        verify(request.source, request.asset)
    if record := _valid_record(request):
        callbacks.on_message(
            f"{request.encoder_file} is there and verified; nothing to do. Remove it to have it converted again"
        )
        return FetchResult(request, record, converted=False)
    convert = load_converter(request)
    make_folder(request.encoder_file.parent)
    # No encoder file is larger than its checkpoint.
    checkpoint = request.source or download(
        request.asset, request.downloads, callbacks, reserve_bytes=request.asset.num_bytes
    )
    callbacks.on_message(f"{checkpoint} is verified; converting it to {request.encoder_file} ({request.precision})")
    record = _convert(request, checkpoint, convert)
    callbacks.on_message(f"{request.encoder_file} is ready, encoder_id {record.encoder_id}")
    return FetchResult(request, record, converted=True)


def load_onnx_converter(request: FetchRequest) -> Converter:
    """The converter, `model.network.export`.

    Raises:
        FetchError: this environment has no torch.
    """
    try:
        from model.network.export import export_checkpoint
    except ModuleNotFoundError as error:
        raise FetchError(
            f"converting needs {error.name}, which this environment does not have (serving does without). "
            "`uv sync --group train` installs it; then run the same command again. Or convert on another machine "
            "and copy DATA/encoders over"
        ) from error

    def convert(checkpoint: Path, out: Path) -> None:
        provenance = f"{request.asset.origin}, checkpoint sha256 {request.asset.sha256}"
        export_checkpoint(
            checkpoint, out, precision=request.precision, provenance=provenance, licence=request.asset.licence
        )

    return convert


def _valid_record(request: FetchRequest) -> ConversionRecord | None:
    """The record of an encoder file that exists, unchanged, and is the requested one."""
    if not (request.encoder_file.is_file() and request.record_file.is_file()):
        return None
    try:
        record = ConversionRecord(**json.loads(request.record_file.read_text()))
    except (ValueError, TypeError):  # cut off, or of another version: the file is made anew
        return None
    wanted = (request.asset.sha256, request.precision)
    if (record.checkpoint_sha256, record.precision) != wanted:
        return None
    return record if sha256_of(request.encoder_file) == record.encoder_sha256 else None


def _convert(request: FetchRequest, checkpoint: Path, convert: Converter) -> ConversionRecord:
    """Convert under another name, then publish the encoder and its record."""
    part = part_of(request.encoder_file)
    require_room(request.encoder_file.parent, request.asset.num_bytes)
    try:
        with room_or_refusal(part):
            convert(checkpoint, part)
            record = ConversionRecord(
                encoder_sha256=sha256_of(part),
                checkpoint_sha256=request.asset.sha256,
                precision=request.precision,
                licence=request.asset.licence,
                licence_url=request.asset.licence_url,
            )
            publish(part, request.encoder_file)
            _write_record(request, record)
    finally:
        part.unlink(missing_ok=True)
    return record


def _write_record(request: FetchRequest, record: ConversionRecord) -> None:
    part = part_of(request.record_file)
    part.write_text(json.dumps(dataclasses.asdict(record), indent=2) + "\n")
    publish(part, request.record_file)


class _TerminalProgress:
    """Notes and a progress bar on standard error."""

    def __init__(self, progress: Progress, total_bytes: int) -> None:
        self.progress = progress
        self.total_bytes = total_bytes
        self.task: TaskID | None = None

    def on_message(self, sentence: str) -> None:
        self.progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def on_bytes(self, num_bytes: int) -> None:
        if self.task is None:  # a task that starts with what was there before reckons its speed without that
            self.progress.start()
            self.task = self.progress.add_task("downloading", total=self.total_bytes, completed=num_bytes)
        self.progress.update(self.task, completed=num_bytes)


@contextmanager
def _terminal(total_bytes: int) -> Iterator[_TerminalProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    terminal = _TerminalProgress(Progress(*columns, console=Console(stderr=True)), total_bytes)
    try:
        yield terminal
    finally:
        if terminal.task is not None:
            terminal.progress.stop()


def run(
    request: FetchRequest,
    load_converter: Callable[[FetchRequest], Converter] = load_onnx_converter,
    *,
    as_json: bool = False,
) -> int:
    """The command: fetch, talk to the person on standard error, answer on standard output.

    Returns:
        The exit status: 0, 1 after an error, 130 when it was stopped with Ctrl-C.
    """
    answer: dict[str, Any]
    status = 0
    with _terminal(request.asset.num_bytes) as terminal, redirect_stdout(sys.stderr):
        terminal.on_message(_licence_notice(request))
        try:
            answer = fetch(request, load_converter, terminal).to_json()
            terminal.on_message(_licence_notice(request))
        except ModelError as error:
            status, answer = 1, {"error": str(error)}
        except KeyboardInterrupt:
            status, answer = 130, {"error": _stopped(request)}
        if status:
            terminal.on_message(answer["error"])
    if as_json:
        typer.echo(json.dumps(answer))
    elif not status:
        typer.echo(answer["encoder"])
    return status


def _licence_notice(request: FetchRequest) -> str:
    return (
        f"{request.asset.origin}: these weights are licensed {request.asset.licence} ({request.asset.licence_url}), "
        "and so is the encoder made from them"
    )


def _stopped(request: FetchRequest) -> str:
    part = part_of(request.downloads / request.asset.name)
    if not part.exists():
        return "stopped; nothing half-made was left"
    return (
        f"stopped; {num_bytes_of(part):,} of {request.asset.num_bytes:,} bytes are kept in {part}: "
        "the same command goes on from there"
    )


def main(
    encoder: Annotated[Literal["signrep"], typer.Argument(help="Which published encoder.")],
    *,
    data: Annotated[Path, typer.Option(help="The data folder.")] = Path("data"),
    source: Annotated[
        Path | None, typer.Option("--from", help="A checkpoint already here, instead of a download.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of the weights in the encoder file.")] = "fp32",
    url: Annotated[str | None, typer.Option(help="A mirror of the checkpoint; it is verified all the same.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")] = False,
) -> None:
    """Download a published encoder, verify it and convert it to DATA/encoders/NAME.onnx."""
    asset = PUBLISHED_ENCODERS[encoder]
    if url is not None:
        asset = dataclasses.replace(asset, url=url)
    raise typer.Exit(run(FetchRequest(encoder, asset, data, precision, source), as_json=as_json))
