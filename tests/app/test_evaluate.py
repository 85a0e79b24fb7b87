"""The figures of a folder of queries."""

import csv
import math

import pytest

from app.errors import NothingUsableError
from app.evaluate import EvaluatedQuery, RankedGlosses, evaluate, search_offline, search_over_http, summarise, write_csv
from app.http.schemas.search import MAX_K
from tests.app.conftest import GLOSSES
from tests.tiny_videos import write_clip


def queries(*ranks):
    return [EvaluatedQuery(f"{i}.mp4", f"G{i}", rank, "G0", 0.1 * (i + 1), None) for i, rank in enumerate(ranks)]


def test_the_figures_are_those_of_the_protocol():
    # r from 0 as the protocol counts: DCG = 1/log2(r+2), MRR = 1/(r+1), Rec@k = [r < k], means x 100.
    zero_based = [0, 1, 4, 9, 19, 30]
    figures = summarise(queries(*[r + 1 for r in zero_based], None), (), depth=50)
    n = len(zero_based) + 1
    assert figures.dcg == pytest.approx(100 * sum(1 / math.log2(r + 2) for r in zero_based) / n)
    assert figures.mrr == pytest.approx(100 * sum(1 / (r + 1) for r in zero_based) / n)
    for k in (1, 5, 10, 20):
        assert figures.recall[k] == pytest.approx(100 * sum(r < k for r in zero_based) / n)


def test_perfect_ranks_give_a_hundred_everywhere():
    figures = summarise(queries(1, 1, 1), (), depth=3)
    assert (figures.dcg, figures.mrr, *figures.recall.values()) == (100,) * 6


def test_the_percentiles_are_of_the_seconds():
    figures = summarise(queries(*[1] * 21), (), depth=1)
    assert figures.latency_s == pytest.approx({"p50": 1.1, "p90": 1.9, "p95": 2.0, "p99": 2.08, "max": 2.1})


def test_a_refused_video_is_a_miss_and_an_unknown_gloss_counts_nowhere(tmp_path, progress):
    for name in ("A.mp4", "B.mp4", "C.mp4", "NEW.mp4"):
        (tmp_path / name).write_bytes(b"x")
    answers = {"A": RankedGlosses(("A", "B")), "B": RankedGlosses(("A", "B")), "C": RankedGlosses((), "broken")}
    figures = evaluate(tmp_path, lambda clip: answers[clip.path.stem], frozenset("ABC"), 2, progress)
    assert [query.rank for query in figures.queries] == [1, 2, None]
    assert figures.recall[1] == pytest.approx(100 / 3)
    assert figures.queries[2].refusal == "broken"
    assert figures.unknown == ("NEW.mp4",)


def test_a_folder_without_a_known_gloss_is_refused(tmp_path, progress):
    (tmp_path / "NEW.mp4").write_bytes(b"x")
    with pytest.raises(NothingUsableError, match="none of the 1 videos"):
        evaluate(tmp_path, lambda clip: RankedGlosses(()), frozenset("A"), 2, progress)


def test_offline_and_over_http_the_ranks_are_the_same(served, dictionary_folder, tmp_path, progress):
    for seed, gloss in enumerate(reversed(GLOSSES)):  # most are named wrongly, so that ranks differ from 1
        write_clip(tmp_path / f"{gloss}.mp4", seed, seconds=1.4)
    (tmp_path / "APPLE").mkdir()
    (tmp_path / "APPLE" / "broken.mp4").write_bytes(b"no video")
    offline = evaluate(tmp_path, search_offline(served.services, 5), None, 5, progress)
    http = evaluate(tmp_path, search_over_http(served.signdex), None, MAX_K, progress)
    told = [[(query.video, query.rank, query.best) for query in figures.queries] for figures in (offline, http)]
    assert told[0] == told[1]
    assert len({query.rank for query in offline.queries}) > 2
    assert offline.queries[0].refusal == http.queries[0].refusal


def test_the_csv_has_a_row_per_query_worst_first(tmp_path):
    write_csv(tmp_path / "ranks.csv", queries(3, None, 1))
    with (tmp_path / "ranks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["", "3", "1"]
    assert rows[1]["gloss"] == "G0"


def test_the_worst_signs_come_first_with_what_they_were_taken_for():
    asked = [
        EvaluatedQuery("1", "HOUSE", 1, "HOUSE", 0.1, None),
        EvaluatedQuery("2", "HOUSE", 3, "ROOF", 0.1, None),
        EvaluatedQuery("3", "TREE", None, "BUSH", 0.1, None),
        EvaluatedQuery("4", "TREE", 9, "BUSH", 0.1, None),
        EvaluatedQuery("5", "TREE", 2, "HAND", 0.1, None),
        EvaluatedQuery("6", "DOG", 1, "DOG", 0.1, None),
        EvaluatedQuery("7", "CAT", None, None, 0.1, "broken"),
    ]
    worst = summarise(asked, (), depth=10).worst
    assert [(sign.gloss, sign.ranks, sign.taken_for) for sign in worst] == [
        ("CAT", (None,), ()),
        ("TREE", (None, 9, 2), ("BUSH", "HAND")),
        ("HOUSE", (1, 3), ("ROOF",)),
    ]
    assert worst[2].dcg == pytest.approx(100 * (1 + 1 / 2) / 2)


def test_the_clips_of_an_entries_file_are_asked_by_their_stretch(served, tmp_path, progress):
    write_clip(tmp_path / "long.mp4", 2, seconds=2.0)
    (tmp_path / "entries.csv").write_text(
        "id,gloss,video,start_s,end_s\n1,CHAIR,long.mp4,0.5,1.5\n2,CHAIR,long.mp4,,\n3,NEW,long.mp4,,\n"
    )
    known = frozenset(GLOSSES)
    offline = evaluate(tmp_path, search_offline(served.services, 5), known, 5, progress)
    http = evaluate(tmp_path, search_over_http(served.signdex), known, MAX_K, progress)
    for figures in (offline, http):
        assert [(query.video, query.rank) for query in figures.queries] == [("1", 1), ("2", 1)]
        assert figures.unknown == ("3",)
