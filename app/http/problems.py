"""Exception handlers that answer every error with a problem document (RFC 9457)."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from app.errors import (
    EXPECTED_ERRORS,
    INTERNAL,
    PROBLEMS,
    AdminKeyError,
    JobRunningError,
    OverloadedError,
    ProblemKind,
    ServiceError,
    TooManyFailuresError,
    UploadTooLargeError,
    UploadTooSlowError,
)
from app.http.request_ids import REQUEST_ID_HEADER, request_id
from app.http.schemas.problem import InvalidPart, Problem
from index.errors import IndexAwayError

MEDIA_TYPE = "application/problem+json"
CALLER_GONE = 499
"""Not in the standard; many servers log it for a caller that has hung up."""
METHODS = ("DELETE", "GET", "HEAD", "POST")
"""Methods that routes take."""
TYPE_PREFIX = "urn:signdex:problem:"

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Add the handlers to an app that has its routes, and the problem document to its OpenAPI description."""
    for root in EXPECTED_ERRORS:
        app.add_exception_handler(root, _expected)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    _, schemas = models_json_schema([(Problem, "serialization")], ref_template="#/components/schemas/{model}")
    app.openapi()["components"]["schemas"].update(schemas["$defs"])


def problem_response(
    request: Request, kind: ProblemKind, detail: str, *, headers: dict[str, str] | None = None, **members: object
) -> Response:
    """A problem document as a response.

    Args:
        request: that is answered.
        kind: status, type and title.
        detail: what happened this time.
        headers: further headers.
        members: further members of the document.
    """
    request.scope["state"]["problem"] = kind.name
    request.app.state.metrics.problems.labels(kind.name).inc()
    standard = {"type": f"{TYPE_PREFIX}{kind.name}", "title": kind.title, "status": kind.status, "detail": detail}
    document = Problem.model_validate({**standard, "request_id": request_id(request.scope), **members})
    return JSONResponse(
        document.model_dump(mode="json", exclude_none=True),
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers={REQUEST_ID_HEADER: document.request_id, **(headers or {})},
    )


def expected_response(request: Request, error: Exception) -> Response:
    """The response for an error of `PROBLEMS`, by its class or the nearest base of it."""
    kind = next((PROBLEMS[base] for base in type(error).__mro__ if base in PROBLEMS), INTERNAL)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _internal(request, error)
    members = dict(error.members) if isinstance(error, ServiceError) else {}
    return problem_response(request, kind, str(error), headers=_headers(error), **members)


async def _expected(request: Request, error: Exception) -> Response:
    return expected_response(request, error)


async def _unexpected(request: Request, error: Exception) -> Response:
    return _internal(request, error)


async def _disconnected(request: Request, error: Exception) -> Response:
    """The caller has hung up: only the log shows this status."""
    return Response(status_code=CALLER_GONE)


async def _invalid(request: Request, error: Exception) -> Response:
    """A request that does not match the description of its route."""
    assert isinstance(error, RequestValidationError)
    invalid = [
        InvalidPart(where=".".join(str(part) for part in wrong["loc"]), message=wrong["msg"])
        for wrong in error.errors()
    ]
    kind = ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", "The request is not as described")
    detail = "; ".join(f"{part.where}: {part.message}" for part in invalid)
    return problem_response(request, kind, detail, invalid=invalid)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework raises: no such path, another method, a body that can't be parsed."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):
        return await _disconnected(request, error)
    # The framework makes a 400 of whatever goes wrong while a body arrives; the cause knows more.
    if isinstance(error.__cause__, ServiceError):
        return expected_response(request, error.__cause__)
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _allowed(request)):
        headers["Allow"] = methods
    kind = ProblemKind(status, status.phrase.lower().replace(" ", "-"), status.phrase)
    return problem_response(request, kind, _http_detail(request, error, headers), headers=headers)


def _allowed(request: Request) -> str:
    """The methods of a path; the framework gives only those of the first route that matches it."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    routes = request.app.routes
    return ", ".join(m for m in METHODS if any(route.matches(scopes[m])[0] == Match.FULL for route in routes))


def _http_detail(request: Request, error: HTTPException, headers: dict[str, str]) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.url.path}; /docs lists what there is"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.url.path} does not take {request.method}; allowed: {headers.get('Allow', 'see /docs')}"
    return str(error.detail)


def _internal(request: Request, error: Exception) -> Response:
    """An error of the service itself: the log has it, the answer only the request id."""
    identity = request_id(request.scope)
    log.error("request %s failed", identity, exc_info=error)
    return problem_response(request, INTERNAL, f"the log of the service has the reason, under request {identity}")


def _headers(error: Exception) -> dict[str, str]:
    """Further headers of an error."""
    if isinstance(error, AdminKeyError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, OverloadedError | TooManyFailuresError | IndexAwayError):
        return {"Retry-After": str(error.retry_after_s)}
    if isinstance(error, JobRunningError):
        return {"Location": f"/v1/jobs/{error.members['job_id']}"}
    if isinstance(error, UploadTooSlowError | UploadTooLargeError):
        return {"Connection": "close"}  # the rest of the body is not read
    return {}
