"""From signs, hits, jobs and snapshots to the wire models of `schemas`."""

from typing import Any
from urllib.parse import quote

from app.http.schemas.admin import JobAnswer, SnapshotAnswer
from app.http.schemas.search import ActivityAnswer, QueryAnswer, SearchAnswer, TimingsAnswer
from app.http.schemas.signs import (
    FacetsAnswer,
    FoundEntryAnswer,
    HitAnswer,
    ShownEntryAnswer,
    ShownSignAnswer,
    SignAnswer,
    SignEntryAnswer,
    SignsAnswer,
)
from app.replica.coordination import Job
from app.search.offline import Lookup
from index.catalogue import Facets, SignPage, SignRecord
from index.dictionary import Hit
from index.entries import Entry, Sign
from index.snapshot_manifest import Manifest
from model.embed import ClipEmbedding


def sign_answer(sign: Sign) -> SignAnswer:
    """A sign."""
    return SignAnswer(id=sign.id, gloss=sign.gloss, language=sign.language)


def sign_with_entries(record: SignRecord) -> ShownSignAnswer:
    """A sign and its entries."""
    entries = [ShownEntryAnswer(**_entry(entry), **_details(entry)) for entry in record.entries]
    return ShownSignAnswer(id=record.sign.id, gloss=record.sign.gloss, language=record.sign.language, entries=entries)


def entry_with_sign(entry: Entry) -> SignEntryAnswer:
    """An entry and its sign."""
    return SignEntryAnswer(**_entry(entry), **_details(entry), sign=sign_answer(entry.sign))


def signs_page(page: SignPage, offset: int, snapshot_id: str) -> SignsAnswer:
    """A page of signs."""
    signs = [sign_with_entries(record) for record in page.signs]
    return SignsAnswer(total=page.total, offset=offset, snapshot_id=snapshot_id, signs=signs)


def facets_answer(facets: Facets) -> FacetsAnswer:
    """Languages, tags and signers."""
    return FacetsAnswer.model_validate(facets)


def hit_answer(hit: Hit) -> HitAnswer:
    """A sign that was found, with the score of each entry."""
    return HitAnswer(
        rank=hit.rank,
        score=round(hit.score, 6),
        mirrored=hit.mirrored,
        sign=sign_answer(hit.sign),
        entries=[FoundEntryAnswer(**_entry(found.entry), score=round(found.score, 6)) for found in hit.entries],
    )


def search_answer(found: Lookup, *, receive_s: float, total_s: float) -> SearchAnswer:
    """The result of a search, with its timings."""
    seconds = {
        "receive": receive_s,
        "decode": found.decode_s,
        "encode": found.encode_s,
        "search": found.search_s,
        "total": total_s,
    }
    return SearchAnswer(
        query_id=found.query_id,
        encoder_id=found.encoder_id,
        snapshot_id=found.snapshot_id,
        vector=[round(number, 6) for number in found.vector.tolist()],
        hits=[hit_answer(hit) for hit in found.hits],
        query=None if found.clip is None else _query(found.clip),
        timings_ms=TimingsAnswer(**{stage: round(spent * 1000, 2) for stage, spent in seconds.items()}),
    )


def job_answer(job: Job) -> JobAnswer:
    """A job."""
    return JobAnswer.model_validate(job)


def snapshot_answer(manifest: Manifest, current_id: str | None) -> SnapshotAnswer:
    """A snapshot on disk."""
    return SnapshotAnswer(
        id=manifest.snapshot_id,
        current=manifest.snapshot_id == current_id,
        created_at=manifest.created_at,
        encoder_id=manifest.encoder_id,
        dim=manifest.dim,
        counts=dict(manifest.counts),
        report=dict(manifest.report),
    )


def _entry(entry: Entry) -> dict[str, Any]:
    """The fields of every `EntryAnswer`."""
    address = f"/v1/entries/{quote(entry.id)}"
    until = "" if entry.end_s is None else f",{entry.end_s:g}"
    part = f"#t={entry.start_s:g}{until}" if entry.start_s or until else ""
    return {
        "id": entry.id,
        "video": entry.video,
        "video_url": f"{address}/video{part}",
        "thumbnail_url": f"{address}/thumbnail",
        "signer": entry.signer,
    }


def _details(entry: Entry) -> dict[str, Any]:
    """The fields that only a `ShownEntryAnswer` has."""
    return {"tags": list(entry.tags), "url": entry.url, "licence": entry.licence}


def _query(clip: ClipEmbedding) -> QueryAnswer:
    """The query video as the encoder saw it."""
    windows = zip(clip.start_s.tolist(), clip.activity.tolist(), strict=True)
    return QueryAnswer(
        duration_s=clip.video_info.duration_s,
        fps=clip.video_info.source_fps,
        num_frames=clip.video_info.num_frames,
        num_windows=len(clip.start_s),
        activity=[
            ActivityAnswer(start_s=round(start_s, 3), left=round(left, 4), right=round(right, 4))
            for start_s, (left, right) in windows
        ],
        warnings=list(clip.warnings),
    )
