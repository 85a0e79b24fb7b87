"""Look signs up by an encoder file of skeletons: `python -m training.sl_slr.lookup FILE.onnx --gallery A --queries B`.

Gallery and queries are folders of landmarks, as `python -m training.pose` writes them; the protocol is that of
`training.evaluate`. The vector that needs no training, and the sum of both similarities, stand beside.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
import typer

from model.encoder import Floats
from model.errors import EncoderFileError
from model.metadata import KEY
from model.pooling import pool
from model.skeleton.signing import bone_directions_wrists
from training.commands import refusals
from training.errors import EvaluationError
from training.evaluate.metrics import RECALL_AT, Metrics
from training.sl_slr.config import Data
from training.sl_slr.encode import ToVector, by_hand, cut, look_up, remembered, side_by_side
from training.sl_slr.export import KIND, open_file
from training.sl_slr.sequences import Sequence61, read_folder


@dataclass(frozen=True)
class FileEncoder:
    """An encoder file of skeletons."""

    session: onnxruntime.InferenceSession
    data: Data
    """How clips are cut for it."""

    def vector(self, clip: Sequence61) -> Floats:
        """The pooled vector of a clip; see `ToVector`."""
        rows = cut(clip, self.data)
        inputs = {"keypoints": clip.keypoints[rows], "known": clip.known[rows]}
        embedding, logits = self.session.run(["embedding", "activity"], inputs)
        return pool(embedding, (0.5 * (1.0 + np.tanh(0.5 * logits))).astype(np.float32))


def open_encoder(path: Path) -> FileEncoder:
    """An encoder file of skeletons.

    Raises:
        EncoderFileError: there is none, or it is of another kind.
    """
    if not path.is_file():
        raise EncoderFileError(f"there is no encoder file at {path}; `python -m training.sl_slr.export` writes one")
    session = open_file(path)
    stored = json.loads(session.get_modelmeta().custom_metadata_map.get(KEY, "{}"))
    if stored.get("kind") != KIND:
        raise EncoderFileError(
            f"{path} is of kind {stored.get('kind', 'pictures')}; expected {KIND}, which looks at landmarks. For"
            " encoders of pictures there is `python -m training.evaluate`"
        )
    data = Data(
        fps=stored["fps"],
        num_frames=stored["config"]["num_frames"],
        stride_frames=stored["stride_frames"],
        cut="window",
    )
    return FileEncoder(session, data)


def rows(encoder: FileEncoder) -> Iterator[tuple[str, ToVector]]:
    """What is looked up by."""
    plain, learned = remembered(by_hand(bone_directions_wrists)), remembered(encoder.vector)
    yield "the file", learned
    yield "bone directions and wrists, no training", plain
    yield "both similarities", side_by_side(learned, plain)


def main(
    encoder: Annotated[Path, typer.Argument(help="Encoder file of skeletons.")],
    *,
    gallery: Annotated[Path, typer.Option(help="Folder of landmarks, named by their gloss.")],
    queries: Annotated[Path, typer.Option(help="Folder of landmarks to look up, named likewise.")],
    mirrored: Annotated[
        bool, typer.Option("--mirrored", help="Put every clip into the gallery mirrored, too, as the service does.")
    ] = False,
) -> None:
    """Look queries up in a gallery by skeletons, and print the figures."""
    with refusals():
        found = open_encoder(encoder)
        (known, lost), (asked, missed) = read_folder(gallery), read_folder(queries)
        for reason in (*lost, *missed):
            typer.echo(f"left out: {reason}", err=True)
        glosses = {clip.gloss for clip in known}
        asked = [clip for clip in asked if clip.gloss in glosses]
        if not asked:
            raise EvaluationError(f"no clip of {queries} has a gloss of the {len(glosses)} in {gallery}")
        for name, to_vector in rows(found):
            typer.echo(in_words(name, look_up(to_vector, known, asked, turned=mirrored), len(asked), len(glosses)))


def in_words(name: str, metrics: Metrics, num_queries: int, num_signs: int) -> str:
    """One line of figures."""
    recall = ", ".join(f"Rec@{k} {metrics.recall[k]:.1f}" for k in RECALL_AT)
    return f"{name}: {num_queries} queries, {num_signs} signs: DCG {metrics.dcg:.1f}, MRR {metrics.mrr:.1f}, {recall}"


if __name__ == "__main__":
    typer.run(main)
