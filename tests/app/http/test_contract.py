"""The description of the API against a running service: what it allows is taken, what it forbids is refused, and every
answer is one that it describes. A larger run: `make contract`.
"""

import itertools
import re
import sys
from collections import Counter
from contextlib import suppress
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis import checks
from schemathesis.core.parameters import ParameterLocation

from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.http.rate_limit import FailureRateLimit
from app.replica.services import open_services
from app.settings import Settings
from tests.app.conftest import KEY, Served, SilentProgress
from tests.conftest import ROOT
from tests.fakes import FakeEncoder
from tests.running import running

EXAMPLES = settings().max_examples // 20
"""Per operation; `--hypothesis-profile=thorough` has many more."""
AS_ADMIN = {"Authorization": f"Bearer {KEY}"}
INEXPRESSIBLE = {
    "/v1/search": [checks.positive_data_acceptance, checks.negative_data_rejection],
    "/v1/search/vector": [checks.positive_data_acceptance],
}
"""Whether a video or a vector can be used is nothing that a description can say; and in a form all values are text, an
empty one counts as missing, and unknown fields are passed over.
"""

DESCRIBED = create_app(Settings()).openapi()
api = schemathesis.openapi.from_dict(DESCRIBED)
modest = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=EXAMPLES < 10)


@pytest.fixture(scope="module")
def asked(tmp_path_factory, dictionary_folder):
    """A service that is asked thousands of odd things, wrong keys among them."""
    services = open_services(
        Settings(data=tmp_path_factory.mktemp("data"), dictionary=dictionary_folder, admin_key=KEY), FakeEncoder()
    )
    services.reindex(SilentProgress())
    app = create_app(services.settings, Lifecycle(services))
    app.state.rate_limits.wrong_keys = FailureRateLimit("wrong admin keys", at_once=1_000_000, every_s=1)
    with running(app) as client:
        api.config.update(base_url=str(client.base_url))
        yield Served(client, services.encoder, services, app)


@pytest.fixture(scope="module")
def videos(dictionary_folder):
    """What is sent as a video, in turn: a whole one, a broken one, and whatever was made up (None)."""
    whole = (dictionary_folder / "APPLE.mp4").read_bytes()
    return itertools.cycle([whole, whole[: len(whole) // 2], None])


@pytest.fixture(scope="module")
def seen():
    """How often every operation gave every status; told at the end, where pytest shows what is written (-s)."""
    counts = Counter()
    yield counts
    for (operation, status), num in sorted(counts.items()):
        sys.stdout.write(f"{num:7} {status} {operation}\n")
    sys.stdout.write(f"{counts.total():7} requests; {EXAMPLES} examples an operation\n")


def with_key(case):
    """The headers of an admin; none where a header is what is made wrong, for the key would put it right again."""
    made = case.meta and case.meta.components.get(ParameterLocation.HEADER)
    return {} if made and made.mode.is_negative else AS_ADMIN


def with_video(case, videos):
    video = next(videos)
    if case.operation.path == "/v1/search" and isinstance(case.body, dict) and video and "video" in case.body:
        case.body = {**case.body, "video": video}


def documented_problems():
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \| .+ \|$", text, re.M))
    rows |= dict(re.findall(r"`([a-z-]+)` \((\d+)\)", text))
    return {(name, int(status)) for name, status in rows.items()}


DOCUMENTED = documented_problems()


def require_documented(response, case):
    """No error of the service, and every refusal is a problem that the documentation has a row for."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"]
        told = response.json()
        assert (told["type"].removeprefix("urn:signdex:problem:"), response.status_code) in DOCUMENTED


@api.parametrize()
@modest
def test_every_operation_keeps_to_its_description(case, asked, videos, seen):
    with_video(case, videos)
    response = case.call(base_url=str(asked.client.base_url), headers=with_key(case))
    seen[case.operation.label, response.status_code] += 1
    require_documented(response, case)
    case.validate_response(response, excluded_checks=INEXPRESSIBLE.get(case.operation.path, []))


def test_what_follows_from_an_answer_keeps_to_its_description(asked, videos, seen):
    class Walk(api.as_state_machine()):
        def get_call_kwargs(self, case):
            return {"headers": with_key(case)}

        def before_call(self, case):
            with_video(case, videos)

        def after_call(self, response, case):
            seen[case.operation.label, response.status_code] += 1

        def validate_response(self, response, case, additional_checks=(), **_):
            require_documented(response, case)
            case.validate_response(response, excluded_checks=INEXPRESSIBLE.get(case.operation.path, []))

    def num_steps():
        return sum(seen.values()) - before

    before = sum(seen.values())
    # The service remembers what was asked before (jobs, snapshots), so a walk may go another way when it is repeated:
    # Hypothesis then gives up, which is no finding. Walks go on until enough was asked.
    while num_steps() < 3 * EXAMPLES:
        asked_before = num_steps()
        with suppress(FlakyStrategyDefinition):
            Walk.run(settings=settings(modest, max_examples=3 * EXAMPLES, stateful_step_count=8))
        assert num_steps() > asked_before, "a walk asked nothing"


def links():
    """Every link of the description: the operation with the answer, its status, and the link."""
    for path, methods in DESCRIBED["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for name, link in answer.get("links", {}).items():
                    yield pytest.param(method, path, int(status), link, id=f"{operation['summary']}: {name}")


def operation_named(name):
    [found] = [
        (method, path)
        for path, methods in DESCRIBED["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] == name
    ]
    return found


def at(expression, answer):
    """What a runtime expression of OpenAPI means in an answer."""
    assert expression.startswith("$response.body#/")
    for step in expression.removeprefix("$response.body#/").split("/"):
        answer = answer[int(step) if step.isdecimal() else step]
    return answer


@pytest.mark.parametrize(("method", "path", "status", "link"), list(links()))
def test_every_link_leads_where_it_says(asked, dictionary_folder, method, path, status, link):
    video = {"video": (dictionary_folder / "APPLE.mp4").read_bytes()} if path == "/v1/search" else None
    while (first := asked.client.request(method, path, files=video, headers=AS_ADMIN)).status_code == 409:
        asked.finished({"id": first.json()["job_id"]})
    assert first.status_code == status
    answer = first.json()
    then, template = operation_named(link["operationId"])
    where = template.format(**{name: quote(at(value, answer)) for name, value in link.get("parameters", {}).items()})
    body = {name: at(value, answer) for name, value in link["requestBody"].items()} if "requestBody" in link else None
    assert asked.client.request(then, where, json=body, headers=AS_ADMIN).is_success
