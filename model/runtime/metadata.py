"""What an encoder file says about itself: one JSON object in the ONNX metadata, under the key `signdex`."""

import json
from collections.abc import Mapping
from typing import Any

from model.config import MEDIAPIPE, EncoderConfig, SkeletonConfig
from model.encoder import EncoderInfo
from model.errors import EncoderContractError

KEY = "signdex"
CONTRACT = 1
"""Version of the inputs, outputs and metadata that make an encoder file."""
KINDS: dict[str, type[EncoderConfig] | type[SkeletonConfig]] = {"pictures": EncoderConfig, "skeleton": SkeletonConfig}
"""What a file's `kind` says that it takes, and the geometry that goes with it. Without a `kind` it is pictures."""

FIELDS: dict[str, type | tuple[type, ...]] = {
    "fps": (int, float),
    "stride_frames": int,
    "provenance": str,
    "licence": str,
    "trained": bool,
    "precision": str,
    "kept_share": (int, float),
    "num_parts": int,
}


def write_metadata(
    config: EncoderConfig | SkeletonConfig,
    *,
    fps: float,
    stride_frames: int,
    provenance: str,
    licence: str,
    trained: bool,
    precision: str,
    kept_share: float = 1.0,
    num_parts: int = 1,
) -> dict[str, str]:
    """The ONNX metadata of an encoder file."""
    fields = {
        "contract": CONTRACT,
        "kind": next(kind for kind, geometry in KINDS.items() if isinstance(config, geometry)),
        "config": config.to_json(),
        "fps": fps,
        "stride_frames": stride_frames,
        "provenance": provenance,
        "licence": licence,
        "trained": trained,
        "precision": precision,
        "kept_share": kept_share,
        "num_parts": num_parts,
    }
    return {KEY: json.dumps(fields)}


def read_metadata(metadata: Mapping[str, str], encoder_id: str) -> EncoderInfo:
    """The inverse of `write_metadata`.

    Raises:
        EncoderContractError: there is no such metadata, or a field of it is missing or of another type.
    """
    if KEY not in metadata:
        raise EncoderContractError(
            f"no '{KEY}' metadata (seen: {sorted(metadata) or 'none'}); `python -m model export` writes encoder files"
        )
    fields: dict[str, Any] = {"kept_share": 1.0, "num_parts": 1, "kind": "pictures"} | parse(metadata[KEY])
    if fields.get("contract") != CONTRACT:
        raise EncoderContractError(
            f"the file follows contract {fields.get('contract')}, this version reads {CONTRACT}; export it again"
        )
    if wrong := [name for name, kind in FIELDS.items() if not isinstance(fields.get(name), kind)]:
        raise EncoderContractError(f"metadata fields missing or of another type: {wrong}; export the encoder again")
    if fields["num_parts"] < 1:
        raise EncoderContractError(
            f"num_parts is {fields['num_parts']}; allowed are 1 and more: export the encoder again"
        )
    if fields["kind"] not in KINDS:
        raise EncoderContractError(f"the file is of kind {fields['kind']!r}; known are {', '.join(KINDS)}")
    try:
        config = KINDS[fields["kind"]].from_json(fields["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderContractError(f"the metadata has no usable 'config': {error}") from error
    estimator = MEDIAPIPE if isinstance(config, SkeletonConfig) else None
    return EncoderInfo(encoder_id, config, **{name: fields[name] for name in FIELDS}, estimator=estimator)


def parse(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        EncoderContractError: the text is something else.
    """
    try:
        fields = json.loads(text)
    except json.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise EncoderContractError(f"the '{KEY}' metadata is no JSON object: {text[:80]!r}")
    return fields
