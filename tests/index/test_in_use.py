"""Who uses what, over processes that share a folder."""

import os
import time

import pytest

from index.in_use import EXPIRY_S, InUse


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "in-use"


def test_everyone_sees_what_anyone_uses(folder):
    one, other = InUse(folder), InUse(folder)
    one.hold("a")
    other.hold("b")
    other.hold("c")
    assert one.everywhere() == other.everywhere() == InUse(folder).everywhere() == {"a", "b", "c"}
    other.release("b")
    assert one.everywhere() == {"a", "c"}


def test_what_is_held_twice_is_in_use_until_it_is_released_twice(folder):
    one = InUse(folder)
    one.hold("a")
    one.hold("a")
    one.release("a")
    assert InUse(folder).everywhere() == {"a"}
    one.release("a")
    assert InUse(folder).everywhere() == set()
    assert list(folder.iterdir()) == []


def age(folder):
    long_ago = time.time() - EXPIRY_S - 1
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))


def test_what_was_not_renewed_for_long_counts_for_nothing(folder):
    dead, living = InUse(folder), InUse(folder)
    dead.hold("a")
    living.hold("b")
    age(folder)
    living.renew()
    assert InUse(folder).everywhere() == {"b"}
    assert len(list(folder.iterdir())) == 1


def test_a_process_knows_its_own_use_however_old_its_file_is(folder):
    one = InUse(folder)
    one.hold("a")
    age(folder)
    assert one.everywhere() == {"a"}


def test_where_nothing_can_be_noted_nothing_fails(tmp_path):
    one = InUse(tmp_path / "gone" / "in-use")
    one.hold("a")
    assert one.everywhere() == {"a"}
