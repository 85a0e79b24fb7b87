"""Liveness, readiness, metrics, versions."""

from anyio import to_thread
from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from app import VERSION
from app.errors import DictionaryEmptyError
from app.http.routes.dependencies import MetricsOfApp, SearchServiceOfApp, ServicesOfApp
from app.http.routes.descriptions import PROBLEM_ANSWERS
from app.http.schemas.search import MAX_K
from app.http.schemas.service import DictionaryAnswer, EncoderAnswer, HealthAnswer, InfoAnswer, LimitsAnswer
from app.replica.services import Services
from model.config import SkeletonConfig
from model.encoder import EncoderInfo

router = APIRouter(tags=["health"], responses=PROBLEM_ANSWERS)


@router.get("/healthz")
async def healthz() -> HealthAnswer:
    """The process answers."""
    return HealthAnswer(status="alive")


@router.get("/readyz")
async def readyz(services: ServicesOfApp, search_service: SearchServiceOfApp) -> HealthAnswer:
    """The encoder is warm, a dictionary is loaded and decoders run; 503 and what is missing otherwise."""
    services.require_ready(decoders=search_service.decoders_state)
    return HealthAnswer(status="ready")


@router.get(
    "/metrics", response_class=Response, responses={200: {"description": "Metrics", "content": {"text/plain": {}}}}
)
async def prometheus(metrics: MetricsOfApp) -> Response:
    """What Prometheus scrapes."""
    return Response(await to_thread.run_sync(metrics.text), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/info")
async def info(services: ServicesOfApp) -> InfoAnswer:
    """Versions, encoder, dictionary and limits."""
    return InfoAnswer(
        version=VERSION,
        encoder=_encoder(services.encoder.info),
        dictionary=_dictionary(services),
        limits=LimitsAnswer(
            max_video_s=services.settings.max_video_s, max_upload_mb=services.settings.max_upload_mb, max_k=MAX_K
        ),
    )


def _encoder(info: EncoderInfo) -> EncoderAnswer:
    return EncoderAnswer(
        id=info.encoder_id,
        takes="skeletons" if isinstance(info.config, SkeletonConfig) else "pictures",
        provenance=info.provenance,
        licence=info.licence,
        trained=info.trained,
        precision=info.precision,
        dim=info.vector_dim,
        fps=info.fps,
        window_frames=info.config.num_frames,
        stride_frames=info.stride_frames,
    )


def _dictionary(services: Services) -> DictionaryAnswer | None:
    try:
        used = services.active_snapshot.require_dictionary()
    except DictionaryEmptyError:
        return None
    return DictionaryAnswer(
        snapshot_id=used.snapshot_id,
        created_at=used.created_at,
        num_entries=used.num_entries,
        num_signs=used.num_signs,
        notes=list(used.notes),
    )
