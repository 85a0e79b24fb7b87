"""Signs by gloss, similar signs, filter values."""

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query

from app.http.answers import facets_answer, hit_answer, sign_answer, sign_with_entries, signs_page
from app.http.routes.dependencies import Language, ServicesOfApp, Tag
from app.http.routes.descriptions import PROBLEM_ANSWERS, link
from app.http.schemas.search import MAX_K
from app.http.schemas.signs import FacetsAnswer, ShownSignAnswer, SignsAnswer, SimilarAnswer

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
    used = services.active_snapshot.require_dictionary()
    page = await to_thread.run_sync(used.find_signs, text, language or None, tag or None, limit, offset)
    return signs_page(page, offset, used.snapshot_id)


@router.get("/v1/signs/{sign_id}")
async def get_sign(services: ServicesOfApp, sign_id: str) -> ShownSignAnswer:
    """A sign with all its videos."""
    return sign_with_entries(services.active_snapshot.require_dictionary().sign(sign_id))


@router.get("/v1/signs/{sign_id}/similar")
async def similar_signs(
    services: ServicesOfApp, sign_id: str, k: Annotated[int, Query(ge=1, le=MAX_K, description="How many signs.")] = 10
) -> SimilarAnswer:
    """Other signs that look like it."""
    used = services.active_snapshot.require_dictionary()
    hits = await to_thread.run_sync(used.neighbours, sign_id, k)
    return SimilarAnswer(
        sign=sign_answer(used.sign(sign_id).sign),
        snapshot_id=used.snapshot_id,
        hits=[hit_answer(hit) for hit in hits],
    )


@router.get("/v1/facets")
async def facets(services: ServicesOfApp) -> FacetsAnswer:
    """Languages, tags and signers, with how many signs and entries each has."""
    return facets_answer(await to_thread.run_sync(services.active_snapshot.require_dictionary().facets))
