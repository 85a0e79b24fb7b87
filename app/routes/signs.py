"""The signs of the dictionary, without a query video."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query

from app.routes.dependencies import Language, ServicesOfApp, Tag
from app.schemas import (
    PROBLEM_ANSWERS,
    FacetsAnswer,
    HitAnswer,
    ShownSignAnswer,
    SignAnswer,
    SignsAnswer,
    SimilarAnswer,
    link,
)
from app.settings import MAX_K

router = APIRouter(tags=["signs"], responses=PROBLEM_ANSWERS)

MAX_PAGE = 200
"""The most signs on one page."""


LINKS: dict[int | str, dict[str, Any]] = {
    200: {
        "links": {
            "first_sign": link("get_sign_v1_signs__sign_id__get", sign_id="/signs/0/id"),
            "look_alikes": link("similar_signs_v1_signs__sign_id__similar_get", sign_id="/signs/0/id"),
            "first_entry": link("get_entry_v1_entries__entry_id__get", entry_id="/signs/0/entries/0/id"),
        }
    }
}
"""What one can do with a page of signs."""


@router.get("/v1/signs", responses=LINKS)
async def find_signs(
    services: ServicesOfApp,
    text: Annotated[str, Query(max_length=200, description="Part of the gloss, in any case, accents or not.")] = "",
    language: Language = None,
    tag: Tag = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> SignsAnswer:
    """Find signs by their gloss; without a text all of them, in the order of the alphabet."""
    used = services.published.dictionary()
    page = await to_thread.run_sync(used.find_signs, text, language or None, tag or None, limit, offset)
    return SignsAnswer.of(page, offset, used.snapshot_id)


@router.get("/v1/signs/{sign_id}")
async def get_sign(services: ServicesOfApp, sign_id: str) -> ShownSignAnswer:
    """A sign with all its videos."""
    return ShownSignAnswer.of_record(services.published.dictionary().sign(sign_id))


@router.get("/v1/signs/{sign_id}/similar")
async def similar_signs(
    services: ServicesOfApp, sign_id: str, k: Annotated[int, Query(ge=1, le=MAX_K, description="How many signs.")] = 10
) -> SimilarAnswer:
    """Other signs that look like it."""
    used = services.published.dictionary()
    hits = await to_thread.run_sync(used.neighbours, sign_id, k)
    return SimilarAnswer(
        sign=SignAnswer.of(used.sign(sign_id).sign),
        snapshot_id=used.snapshot_id,
        hits=[HitAnswer.of(hit) for hit in hits],
    )


@router.get("/v1/facets")
async def facets(services: ServicesOfApp) -> FacetsAnswer:
    """Languages, tags and signers, with how many signs and entries each has."""
    return FacetsAnswer.of(await to_thread.run_sync(services.published.dictionary().facets))
