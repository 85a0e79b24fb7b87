"""Published encoders on one's own disk: download the checkpoint, verify it, convert it to an encoder file.

    python -m model.fetch signrep [--data DIR] [--from FILE] [--precision fp16]

leaves DATA/downloads/signrep-v0.0.1.pt, DATA/encoders/signrep.onnx (with fp16 signrep.fp16.onnx) and, beside it,
signrep.json: the receipt by which a second run knows that there is nothing left to do.
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

from model.download import (
    Asset,
    Listener,
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
from model.errors import FetchError, ModelError

SIGNREP = Asset(
    name="signrep-v0.0.1.pt",
    origin="SignRep, release v0.0.1 of github.com/ryanwongsa/SignRep",
    url="https://github.com/ryanwongsa/SignRep/releases/download/v0.0.1/ckpt.pt",
    num_bytes=222_676_746,
    sha256="f8be8ca44aec4d7066175dccc681338f376ec86de6ba72bc79223a6bbd3c766b",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
)
PUBLISHED = {"signrep": SIGNREP}

Precision = Literal["fp32", "fp16"]
SUFFIXES = {"fp32": ".onnx", "fp16": ".fp16.onnx"}
"""Of encoder files; `model.runtime.half_beside` finds the second beside the first."""
Converter = Callable[[Path, Path], None]
"""Writes the encoder file (second path) that a checkpoint (first path) makes, or raises a `ModelError`."""


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    encoder: str
    """Name of the encoder: the file is called DATA/encoders/NAME.onnx, or NAME.fp16.onnx."""
    asset: Asset
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
    def receipt_file(self) -> Path:
        """Where it is written down how the encoder was made."""
        return self.encoder_file.with_suffix(".json")

    @property
    def downloads(self) -> Path:
        """The folder for checkpoints."""
        return self.data / "downloads"


@dataclass(frozen=True)
class Receipt:
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
class Fetched:
    """What a fetch left behind."""

    order: Order
    receipt: Receipt
    converted: bool
    """False where the encoder was there already."""

    def to_json(self) -> dict[str, Any]:
        """The answer of `--json`."""
        return {
            "encoder": str(self.order.encoder_file),
            "encoder_id": self.receipt.encoder_id,
            "converted": self.converted,
            **dataclasses.asdict(self.receipt),
        }


def fetch(order: Order, load_converter: Callable[[Order], Converter], listener: Listener) -> Fetched:
    """Make a published encoder available, doing only what is not done yet.

    Args:
        order: what is asked for.
        load_converter: gives the converter, or raises where this environment can't convert. Called before a download.
        listener: told of progress.

    Raises:
        FetchError: the checkpoint can't be had or is not the published one, or there is no place to put it.
        ModelError: the checkpoint can't be converted.
    """
    if order.source is not None:
        verify(order.source, order.asset)
    if receipt := _valid_receipt(order):
        listener.note(
            f"{order.encoder_file} is there and verified; nothing to do. Remove it to have it converted again"
        )
        return Fetched(order, receipt, converted=False)
    convert = load_converter(order)
    make_folder(order.encoder_file.parent)
    # No encoder file is larger than its checkpoint.
    checkpoint = order.source or download(order.asset, order.downloads, listener, reserve_bytes=order.asset.num_bytes)
    listener.note(f"{checkpoint} is verified; converting it to {order.encoder_file} ({order.precision})")
    receipt = _convert(order, checkpoint, convert)
    listener.note(f"{order.encoder_file} is ready, encoder_id {receipt.encoder_id}")
    return Fetched(order, receipt, converted=True)


def load_export(order: Order) -> Converter:
    """The real converter, `model.export`.

    Raises:
        FetchError: this environment has no torch.
    """
    try:
        from model.export import export_checkpoint
    except ModuleNotFoundError as error:
        raise FetchError(
            f"converting needs {error.name}, which this environment does not have (serving does without). "
            "`uv sync --group train` installs it; then run the same command again. Or convert on another machine "
            "and copy DATA/encoders over"
        ) from error

    def convert(checkpoint: Path, out: Path) -> None:
        provenance = f"{order.asset.origin}, checkpoint sha256 {order.asset.sha256}"
        export_checkpoint(
            checkpoint, out, precision=order.precision, provenance=provenance, licence=order.asset.licence
        )

    return convert


def _valid_receipt(order: Order) -> Receipt | None:
    """The receipt of an encoder file that is there, unchanged, and what is asked for."""
    if not (order.encoder_file.is_file() and order.receipt_file.is_file()):
        return None
    try:
        receipt = Receipt(**json.loads(order.receipt_file.read_text()))
    except (ValueError, TypeError):  # cut off, or of another version: the file is made anew
        return None
    wanted = (order.asset.sha256, order.precision)
    if (receipt.checkpoint_sha256, receipt.precision) != wanted:
        return None
    return receipt if sha256_of(order.encoder_file) == receipt.encoder_sha256 else None


def _convert(order: Order, checkpoint: Path, convert: Converter) -> Receipt:
    """Convert under another name, then publish the encoder and its receipt."""
    part = part_of(order.encoder_file)
    require_room(order.encoder_file.parent, order.asset.num_bytes)
    try:
        with room_or_refusal(part):
            convert(checkpoint, part)
            receipt = Receipt(
                encoder_sha256=sha256_of(part),
                checkpoint_sha256=order.asset.sha256,
                precision=order.precision,
                licence=order.asset.licence,
                licence_url=order.asset.licence_url,
            )
            publish(part, order.encoder_file)
            _write_receipt(order, receipt)
    finally:
        part.unlink(missing_ok=True)
    return receipt


def _write_receipt(order: Order, receipt: Receipt) -> None:
    part = part_of(order.receipt_file)
    part.write_text(json.dumps(dataclasses.asdict(receipt), indent=2) + "\n")
    publish(part, order.receipt_file)


class _Terminal:
    """Notes and a progress bar on standard error."""

    def __init__(self, progress: Progress, total_bytes: int) -> None:
        self.progress = progress
        self.total_bytes = total_bytes
        self.task: TaskID | None = None

    def note(self, sentence: str) -> None:
        self.progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def bytes_done(self, num_bytes: int) -> None:
        if self.task is None:  # a task that starts with what was there before reckons its speed without that
            self.progress.start()
            self.task = self.progress.add_task("downloading", total=self.total_bytes, completed=num_bytes)
        self.progress.update(self.task, completed=num_bytes)


@contextmanager
def _terminal(total_bytes: int) -> Iterator[_Terminal]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    terminal = _Terminal(Progress(*columns, console=Console(stderr=True)), total_bytes)
    try:
        yield terminal
    finally:
        if terminal.task is not None:
            terminal.progress.stop()


def run(order: Order, load_converter: Callable[[Order], Converter] = load_export, *, as_json: bool = False) -> int:
    """The command: fetch, talk to the person on standard error, answer on standard output.

    Returns:
        The exit status: 0, 1 after an error, 130 when it was stopped with Ctrl-C.
    """
    answer: dict[str, Any]
    status = 0
    with _terminal(order.asset.num_bytes) as terminal, redirect_stdout(sys.stderr):
        terminal.note(_licence_notice(order))
        try:
            answer = fetch(order, load_converter, terminal).to_json()
            terminal.note(_licence_notice(order))
        except ModelError as error:
            status, answer = 1, {"error": str(error)}
        except KeyboardInterrupt:
            status, answer = 130, {"error": _stopped(order)}
        if status:
            terminal.note(answer["error"])
    if as_json:
        typer.echo(json.dumps(answer))
    elif not status:
        typer.echo(answer["encoder"])
    return status


def _licence_notice(order: Order) -> str:
    return (
        f"{order.asset.origin}: these weights are licensed {order.asset.licence} ({order.asset.licence_url}), "
        "and so is the encoder made from them"
    )


def _stopped(order: Order) -> str:
    part = part_of(order.downloads / order.asset.name)
    if not part.exists():
        return "stopped; nothing half-made was left"
    return (
        f"stopped; {num_bytes_of(part):,} of {order.asset.num_bytes:,} bytes are kept in {part}: "
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
    asset = PUBLISHED[encoder]
    if url is not None:
        asset = dataclasses.replace(asset, url=url)
    raise typer.Exit(run(Order(encoder, asset, data, precision, source), as_json=as_json))


if __name__ == "__main__":
    typer.run(main)
