"""Alerts and dashboard, read by Prometheus' own tool where it is installed (Debian: prometheus)."""

import json
import re
import shutil
import subprocess
from itertools import combinations

import pytest

from app.http.metrics import Metrics
from model.runtime.onnx_encoder import GPU_BATCH_SIZES
from tests.conftest import ROOT

ALERTS = ROOT / "docker" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "docker" / "grafana" / "signdex.json"
COLUMNS = 24
"""Of a dashboard's grid."""


@pytest.fixture(scope="session")
def promtool():
    """Runs Prometheus' tool; what it says."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")

    def run(*arguments, given=None):
        ran = subprocess.run(
            ["promtool", *map(str, arguments)], input=given, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    return run


def dashboard():
    return json.loads(DASHBOARD.read_text())


def expressions():
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def families(served):
    """Every metric that a service gives, with the suffixes of its samples."""
    told = served.client.get("/metrics").text
    known = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", told, re.M):
        known |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return known


def test_prometheus_takes_rules_and_configuration(promtool):
    assert "9 rules found" in promtool("check", "rules", ALERTS)
    promtool("check", "config", ROOT / "docker" / "prometheus" / "prometheus.yaml")


def test_every_alert_comes_when_it_should_and_stays_away_when_not(promtool):
    promtool("test", "rules", ROOT / "tests" / "app" / "http" / "alerts_test.yaml")
    tried = set(re.findall(r"alertname: (\w+)", (ROOT / "tests" / "app" / "http" / "alerts_test.yaml").read_text()))
    assert tried == set(re.findall(r"alert: (\w+)", ALERTS.read_text()))


def test_prometheus_has_nothing_against_what_the_service_tells(promtool, served):
    promtool("check", "metrics", given=served.client.get("/metrics").text)


def test_alerts_and_dashboard_speak_of_metrics_that_there_are(served):
    named = set(re.findall(r"\bsigndex_\w+", ALERTS.read_text() + " ".join(expressions())))
    assert named
    assert named <= families(served)


def test_alerts_speak_of_labels_that_there_are(served):
    served.client.post("/reindex")  # a problem, so that problems are counted
    told = served.client.get("/metrics").text
    assert re.search(r'^signdex_problems_total\{type="admin-key"\}', told, re.M)
    assert re.search(r'^signdex_job_state\{state="failed"\}', told, re.M)
    assert re.search(r'^signdex_request_seconds_count\{method="POST",route="/reindex",status="401"\}', told, re.M)


def test_prometheus_can_read_every_expression_of_the_dashboard(promtool, tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": expr.replace("$__rate_interval", "1m")}
        for number, expr in enumerate(expressions())
    ]
    # JSON is YAML as well.
    (tmp_path / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", tmp_path / "panels.yaml")


def test_panels_do_not_overlap_and_know_where_their_data_comes_from():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} == {"datasource", "instance"}
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_whether_the_service_is_ready_is_told_as_readyz_tells_it(start, served):
    for client in (served.client, start().client):
        states = []
        while len(set(states)) != 1:  # it may have become ready in between
            is_ready = client.get("/readyz").status_code == 200
            told = re.search(r"^signdex_ready (\d)", client.get("/metrics").text, re.M)
            states = [is_ready, told[1] == "1"]
    assert states == [False, False]  # the last one has no dictionary


def test_the_batches_of_a_gpu_have_a_bucket_of_their_own():
    metrics = Metrics()
    metrics.batch_windows.observe(GPU_BATCH_SIZES[0])
    assert f'signdex_batch_windows_bucket{{le="{GPU_BATCH_SIZES[0]}.0"}} 1.0' in metrics.text().decode()
