"""What a row of a collection looks like: its fields, and the rules by which they are filtered.

    row         the row of the vectors that this is
    vector      float32 [D], unit length
    sign        id of the sign that the entry shows
    language    code of its language, empty where it has none
    tags        codes of its tags

Languages and tags are kept as codes, 12 hex digits of their sha256: so any text fits, whatever its length and quotation
marks.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from index.entries import Entry
from index.protocol import AllowedRows, Floats

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

FIELDS = ("row", "vector", "sign", "language", "tags")
CODE_LETTERS = 12
MAX_TAGS = 4096
"""The most that Milvus keeps in a list."""
BATCH_BYTES = 8_000_000
"""Bytes of vectors that are sent at once; servers take 64 MB."""


def schema(client: "MilvusClient", dim: int) -> "CollectionSchema":
    """The fields of a collection of vectors of `dim` numbers."""
    from pymilvus import DataType

    fields = client.create_schema(auto_id=False, enable_dynamic_field=False)
    fields.add_field("row", DataType.INT64, is_primary=True)
    fields.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    fields.add_field("sign", DataType.VARCHAR, max_length=CODE_LETTERS)
    fields.add_field("language", DataType.VARCHAR, max_length=CODE_LETTERS)
    fields.add_field(
        "tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_length=CODE_LETTERS, max_capacity=MAX_TAGS
    )
    return fields


def row_batches(vectors: Floats, entries: Sequence[Entry]) -> Iterator[list[dict[str, Any]]]:
    """The rows of a collection, as many at a time as may be sent at once."""
    step = max(1, BATCH_BYTES // (4 * vectors.shape[1]))
    for start in range(0, len(vectors), step):
        yield [_row_fields(row, vectors[row], entries[row]) for row in range(start, min(start + step, len(vectors)))]


def expression(allowed: AllowedRows | None) -> str:
    """The rule in the words of Milvus; empty for all rows."""
    if allowed is None:
        return ""
    rules = []
    if allowed.filters.language is not None:
        rules.append(f'language == "{text_code(allowed.filters.language)}"')
    if allowed.filters.tag is not None:
        rules.append(f'array_contains(tags, "{text_code(allowed.filters.tag)}")')
    if allowed.other_than is not None:
        rules.append(f'sign != "{allowed.other_than}"')
    return " and ".join(rules)


def text_code(text: str) -> str:
    """12 hex digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:CODE_LETTERS]


def _row_fields(row: int, vector: Floats, entry: Entry) -> dict[str, Any]:
    return {
        "row": row,
        "vector": vector,
        "sign": entry.sign.id,
        "language": "" if entry.language is None else text_code(entry.language),
        "tags": [text_code(tag) for tag in dict.fromkeys(entry.tags)],
    }
