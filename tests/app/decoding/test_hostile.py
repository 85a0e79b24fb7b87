"""Uploads that are meant to do harm, against a decoding process. All of them: `python -m tests.hostile.decoding`."""

import pytest

from tests.hostile.decoding import DECODED, DECODING, attack

NUM_MUTATIONS = 80
HARMLESS = {"mp4 with html behind it", "mp4 with a zip behind it"}
"""Whole videos with something behind their end."""
LYING = {"mp4 of 65535 x 65535", "avi of 30000 x 30000", "mp4 that lasts for ever"}
"""Their pictures say otherwise, and are believed."""

COSTLY = "gif of 500 frames as large as allowed"
"""Whether it is decoded in time is a matter of the machine."""


@pytest.fixture(scope="module")
def outcomes():
    return list(attack(NUM_MUTATIONS, seed=1))


def test_every_upload_ends_in_windows_or_in_a_refusal_within_its_time(outcomes):
    assert len(outcomes) > NUM_MUTATIONS + 35
    assert max(outcome.seconds for outcome in outcomes) < DECODING.seconds + 5


def test_no_mutation_takes_a_process_down(outcomes):
    assert [outcome for outcome in outcomes[-NUM_MUTATIONS:] if outcome.took_process_down] == []


def test_what_is_no_video_and_what_names_other_files_is_refused(outcomes):
    decoded = {outcome.name for outcome in outcomes[:-NUM_MUTATIONS] if outcome.result == DECODED}
    assert decoded - {COSTLY} == HARMLESS | LYING


def test_mutations_are_of_both_kinds(outcomes):
    results = [outcome.result == DECODED for outcome in outcomes[-NUM_MUTATIONS:]]
    assert 10 <= sum(results) <= NUM_MUTATIONS - 10
