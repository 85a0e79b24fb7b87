"""What the description of the API says of every route: problem documents, and links from answers to other routes."""

from typing import Any

PROBLEM_ANSWERS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any error, as a problem document (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""For the `responses` of every router."""


def link(operation: str, **parameters: str) -> dict[str, Any]:
    """An OpenAPI link: another route, called with values of an answer.

    Args:
        operation: the name that FastAPI gives a route.
        parameters: per parameter of that route where its value stands in the answer, as a JSON pointer.
    """
    pointers = {name: f"$response.body#{pointer}" for name, pointer in parameters.items()}
    return {"operationId": operation, "parameters": pointers}
