"""The description of the API that the repository keeps."""

import json

from app.http.openapi import described, main
from tests.conftest import ROOT

KEPT = ROOT / "docs" / "openapi.json"


def test_the_kept_description_is_that_of_the_routes():
    assert KEPT.read_text(encoding="utf-8") == described(), "run `make openapi`"


def test_it_can_be_printed_and_written(tmp_path, capsys):
    main(write=tmp_path / "api.json")
    main(write=None)
    assert (tmp_path / "api.json").read_text(encoding="utf-8") == capsys.readouterr().out


def test_every_route_and_every_answer_of_a_search_is_described():
    api = json.loads(described())
    for path, methods in api["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
    schemas = api["components"]["schemas"]
    for name in ("SearchAnswer", "HitAnswer", "FoundEntryAnswer", "QueryAnswer", "TimingsAnswer", "ActivityAnswer"):
        for field, schema in schemas[name]["properties"].items():
            refers = "$ref" in json.dumps(schema)
            assert refers or "examples" in schema, f"{name}.{field} has no example"
