"""The page as the service gives it: files, headers, texts. What it does is tested in a browser, in tests/web."""

import json
import re

import pytest

from app.http.routes.pages import WEB

PAGES = ("/", "/browse", "/signs/59164ae57cbd", "/admin")
SCRIPTS = sorted(WEB.glob("*.js"))
TEXTS = sorted((WEB / "texts").glob("*.json"))


@pytest.mark.parametrize("path", PAGES)
def test_every_page_forbids_whatever_is_not_its_own(served, path):
    response = served.client.get(path)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["Permissions-Policy"].startswith("camera=(self)")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", response.text), "nothing inline"


@pytest.mark.parametrize("page", ["index.html", "admin.html"])
def test_what_a_page_names_is_there(served, page):
    for path in re.findall(r'(?:src|href)="(/[^"]*)"', (WEB / page).read_text(encoding="utf-8")):
        response = served.client.get(path)
        assert response.status_code == 200, path
        assert response.headers["Cache-Control"] == "no-cache"
        assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_import_is_a_file_that_has_what_is_imported(script):
    for names, source in re.findall(r'import \{([^}]*)\} from "\./([^"]+)"', script.read_text(encoding="utf-8")):
        exported = set(
            re.findall(
                r"export (?:async )?(?:function\*?|class|const|let) (\w+)", (WEB / source).read_text(encoding="utf-8")
            )
        )
        assert {name.strip() for name in names.split(",") if name.strip()} <= exported, source


def test_a_browser_that_has_a_file_is_not_sent_it_again(served):
    for path in ("/", "/web/main.js"):
        first = served.client.get(path)
        again = served.client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_files_are_sent_compressed_to_those_who_can_read_that(served):
    response = served.client.get("/web/style.css", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    plain = served.client.get("/web/style.css", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.text == response.text


def test_only_files_of_the_page_are_given(served):
    for path in ("/web/nothing.js", "/web/../main.py", "/web/%2e%2e/main.py", "/web/"):
        response = served.client.get(path)
        assert response.status_code == 404
        assert response.headers["Content-Type"] == "application/problem+json"


def test_all_files_of_the_page_are_counted_as_one_route(served):
    served.client.get("/web/main.js")
    served.client.get("/web/nothing.js")
    lines = [line for line in served.client.get("/metrics").text.splitlines() if "/web" in line]
    assert lines
    assert all('route="/web"' in line for line in lines)


def test_every_language_has_the_same_texts():
    assert len(TEXTS) >= 2
    first, *others = [json.loads(path.read_text(encoding="utf-8")) for path in TEXTS]
    for other in others:
        assert list(other) == list(first)
        for key, text in first.items():
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", other[key])), key


def test_every_text_that_a_script_names_is_there_and_no_other():
    known = json.loads((WEB / "texts" / "en.json").read_text(encoding="utf-8"))
    scripts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    # What a template completes, as in `problem.${kind}`, begins a family.
    families = set(re.findall(r"`([a-z.]+\.)\$\{", scripts))
    named = set(re.findall(r'"([a-z]+(?:\.[a-z]+)+)"', scripts)) - {"webm.", "mp4."}
    plural = {key.rpartition(".")[0] for key in known if key.endswith((".one", ".other"))}
    for key in named:
        if key.split(".")[0] in {each.split(".")[0] for each in known}:
            assert key in known or key in plural, key
    for key in known:
        base = key.removesuffix(".one").removesuffix(".other")
        assert {key, base} & named or key.startswith(tuple(families)), f"{key} is named nowhere"


def test_entries_and_jobs_can_be_asked_for(served):
    entry = served.client.get("/v1/entries/APPLE.mp4").json()
    assert entry["sign"]["gloss"] == "APPLE"
    assert served.client.get(f"/v1/signs/{entry['sign']['id']}").json()["gloss"] == "APPLE"
    assert served.client.get("/v1/entries/NOTHING.mp4").json()["type"].endswith("entry-unknown")
    assert served.client.get("/v1/jobs").status_code == 401


def test_jobs_are_listed_the_latest_first(start):
    service = start(filled=True)
    assert service.as_admin("GET", "/v1/jobs").json() == {"jobs": []}
    ids = [service.finished(service.as_admin("POST", "/v1/reindex").json())["id"] for _ in range(2)]
    assert [job["id"] for job in service.as_admin("GET", "/v1/jobs").json()["jobs"]] == ids[::-1]


def test_a_search_gives_the_vector_that_was_looked_up(served, dictionary_folder):
    answer = served.post(dictionary_folder / "BREAD.mp4").json()
    assert sum(number**2 for number in answer["vector"]) == pytest.approx(1, abs=1e-4)
    again = served.client.post("/v1/search/vector", json={"vector": answer["vector"]}).json()
    assert [hit["sign"]["gloss"] for hit in again["hits"]] == [hit["sign"]["gloss"] for hit in answer["hits"]]


def test_the_page_of_the_api_loads_nothing_from_elsewhere(served):
    page = served.client.get("/docs")
    assert page.status_code == 200
    named = re.findall(r"""(?:src|href)=["']([^"']+)""", page.text)
    assert len(named) >= 2
    for place in named:
        assert place.startswith("/"), place
        assert served.client.get(place).status_code == 200, place
    assert served.client.get("/redoc").status_code == 404
