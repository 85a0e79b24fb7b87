"""Metrics, logs, headers."""

import json
import logging
import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.logs import JsonLines
from tests.conftest import ROOT


def samples(served):
    families = text_string_to_metric_families(served.client.get("/metrics").text)
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_a_search_is_measured_stage_by_stage(start, dictionary_folder):
    served = start(filled=True)
    answer = served.post(dictionary_folder / "APPLE.mp4").json()
    seen = samples(served)
    for stage, spent_ms in answer["timings_ms"].items():
        assert seen["signdex_stage_seconds_count", stage] == 1
        assert seen["signdex_stage_seconds_sum", stage] == pytest.approx(spent_ms / 1000, abs=1e-4)
    encoded = sum(1 for window in answer["query"]["activity"] if window["left"])
    assert seen["signdex_batch_windows_sum",] == encoded
    assert seen["signdex_request_seconds_count", "/search", "200", "POST"] == 1
    assert seen["signdex_searches",] == 0
    assert seen["signdex_windows_waiting",] == 0
    assert seen["signdex_queries_kept",] == 1
    assert seen["signdex_queries_kept_bytes",] > 0


def test_the_size_of_the_dictionary_and_the_latest_job_are_told(start):
    served = start()
    assert samples(served)["signdex_dictionary_entries",] == 0
    served.finished(served.as_admin("POST", "/reindex").json())
    seen = samples(served)
    assert (seen["signdex_dictionary_entries",], seen["signdex_dictionary_signs",]) == (5, 5)
    assert seen["signdex_index_vectors",] in (5, 10)
    assert (seen["signdex_job_state", "done"], seen["signdex_job_state", "running"]) == (1, 0)


def test_problems_are_counted_by_kind(start):
    served = start()
    for _ in range(3):
        served.client.post("/search", files={"video": b""})
    served.client.get("/nowhere")
    seen = samples(served)
    assert seen["signdex_problems_total", "dictionary-empty"] == 3
    assert seen["signdex_problems_total", "not-found"] == 1
    assert seen["signdex_request_seconds_count", "404", "any", "unmatched"] == 1


def test_every_metric_is_documented_and_nothing_else_is(served):
    families = {family.name for family in text_string_to_metric_families(served.client.get("/metrics").text)}
    documented = re.findall(r"`(signdex_\w+)`", (ROOT / "docs/operations.md").read_text())
    assert {name.removesuffix("_total") for name in documented} == {
        name for name in families if not name.endswith("_created")
    }


def test_a_request_is_one_line_without_what_was_asked(served, dictionary_folder, caplog):
    with caplog.at_level(logging.INFO, logger="app.access"):
        served.client.get("/v1/signs", params={"text": "my secret word"}, headers={"X-Request-ID": "me-1"})
        served.client.get("/v1/entries/SECRET.mp4/video", headers={"Authorization": "Bearer a secret key"})
        deadline = time.monotonic() + 20
        while sum(record.name == "app.access" for record in caplog.records) < 2:  # a line follows its answer
            assert time.monotonic() < deadline
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.name == "app.access"]
    assert [line["route"] for line in lines] == ["/v1/signs", "/v1/entries/{entry_id:path}/video"]
    first, second = lines
    assert (first["request_id"], first["status"], first["level"]) == ("me-1", 200, "info")
    assert first["bytes_out"] > 50
    assert first["ms"] > 0
    assert (second["status"], second["problem"]) == (404, "entry-unknown")
    assert "secret" not in json.dumps(lines).lower()


def test_a_line_of_the_log_is_one_line_whatever_happened():
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "bad\n%s", ("thing",), (ValueError, error, error.__traceback__)
        )
    text = JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line["message"] == "bad\nthing"
    assert "two\nlines" in line["exception"]


def test_browsers_are_told_to_be_careful(served):
    for path in ("/healthz", "/nowhere", "/v1/entries/APPLE.mp4/video"):
        headers = served.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
