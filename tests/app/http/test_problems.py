"""Every error is a problem document, on every path."""

import re

import pytest

from app.errors import EXPECTED_ERRORS, PROBLEMS
from app.http.application import create_app
from app.settings import Settings
from tests.conftest import ROOT


def with_subclasses(error):
    yield error
    for subclass in error.__subclasses__():
        yield from with_subclasses(subclass)


@pytest.mark.parametrize("error", sorted({e for root in EXPECTED_ERRORS for e in with_subclasses(root)}, key=str))
def test_every_error_of_every_layer_has_its_own_line_in_the_table(error):
    assert error in PROBLEMS, f"{error.__module__}.{error.__name__} is missing in app.errors.PROBLEMS"


@pytest.mark.parametrize("root", EXPECTED_ERRORS)
def test_every_error_is_in_the_tree_that_its_module_draws(root):
    import sys

    drawn = set(re.findall(r"\w+Error", sys.modules[root.__module__].__doc__))
    assert drawn == {error.__name__ for error in with_subclasses(root)}


def test_problems_of_one_name_have_one_status():
    statuses = {}
    for kind in PROBLEMS.values():
        statuses.setdefault(kind.name, set()).add((kind.status, kind.title))
    assert all(len(seen) == 1 for seen in statuses.values())


def assert_is_problem(response):
    assert response.headers["Content-Type"] == "application/problem+json"
    told = response.json()
    assert told["status"] == response.status_code
    assert told["type"].startswith("urn:signdex:problem:")
    assert told["title"]
    assert told["detail"]
    assert told["request_id"] == response.headers["X-Request-ID"]


def paths():
    described = create_app(Settings()).openapi()["paths"]
    return sorted({re.sub(r"{\w+}", "x", path) for path in described} | {"/search", "/reindex", "/nowhere", "/search/"})


@pytest.mark.parametrize("path", paths())
def test_a_wrong_method_on_any_path_is_a_problem(served, path):
    for method in ("PUT", "PATCH", "TRACE"):
        response = served.client.request(method, path)
        assert response.status_code in (404, 405)
        assert_is_problem(response)


@pytest.mark.parametrize("path", paths())
def test_a_bare_request_on_any_path_succeeds_or_is_a_problem(served, path):
    for method in ("GET", "POST", "DELETE"):
        response = served.client.request(method, path)
        if response.is_error:
            assert_is_problem(response)
        else:
            wanted = "text/plain" if path == "/metrics" else "application/json"
            assert response.headers["Content-Type"].startswith(wanted)


def test_a_path_that_is_not_there_says_where_to_look(served):
    response = served.client.get("/nowhere")
    assert response.status_code == 404
    assert "/nowhere" in response.json()["detail"]
    assert "/docs" in response.json()["detail"]


def test_a_wrong_method_names_the_right_one(served):
    response = served.client.get("/search")
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert "allowed: POST" in response.json()["detail"]


def test_a_wrong_method_names_those_of_every_route_of_the_path(served):
    assert served.client.patch("/v1/jobs/x").headers["Allow"] == "DELETE, GET"
    assert served.client.post("/v1/entries/x/video").headers["Allow"] == "GET, HEAD"
    assert served.client.post("/web/style.css").headers["Allow"] == "GET, HEAD"


def test_a_request_id_is_taken_over_where_it_is_harmless(served):
    assert served.client.get("/healthz", headers={"X-Request-ID": "me-1"}).headers["X-Request-ID"] == "me-1"
    for forged in ("a b", "x" * 65, "a\tb"):
        given = served.client.get("/healthz", headers={"X-Request-ID": forged}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{16}", given)


def test_the_description_names_problems_as_such():
    described = create_app(Settings()).openapi()
    assert {"title", "status", "detail", "request_id"} <= set(
        described["components"]["schemas"]["Problem"]["properties"]
    )
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"], path
            assert "422" not in operation["responses"], path


def test_every_problem_is_documented_with_its_status():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| .+ \|$", (ROOT / "docs/api.md").read_text(), re.M)
    raised = {kind.name: str(kind.status.value) for kind in PROBLEMS.values()}
    assert dict(rows) == {**raised, "invalid-request": "422"}


def test_every_route_is_documented():
    described = create_app(Settings()).openapi()["paths"]
    documented = re.findall(r"`(GET|POST|DELETE) (/[^`]+)`", (ROOT / "docs/api.md").read_text())
    routes = {(method.upper(), re.sub(r"{\w+}", "{id}", path)) for path in described for method in described[path]}
    assert set(documented) == routes | {("POST", "/search"), ("POST", "/reindex")}
