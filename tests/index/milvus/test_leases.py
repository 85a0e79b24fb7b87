"""Who uses what, over processes that share a folder."""

import os
import time

import pytest

from index.milvus.leases import LEASE_EXPIRY_S, Leases


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "in-use"


def test_everyone_sees_what_anyone_uses(folder):
    one, other = Leases(folder), Leases(folder)
    one.acquire("a")
    other.acquire("b")
    other.acquire("c")
    assert one.held_anywhere() == other.held_anywhere() == Leases(folder).held_anywhere() == {"a", "b", "c"}
    other.release("b")
    assert one.held_anywhere() == {"a", "c"}


def test_what_is_held_twice_is_in_use_until_it_is_released_twice(folder):
    one = Leases(folder)
    one.acquire("a")
    one.acquire("a")
    one.release("a")
    assert Leases(folder).held_anywhere() == {"a"}
    one.release("a")
    assert Leases(folder).held_anywhere() == set()
    assert list(folder.iterdir()) == []


def age(folder):
    long_ago = time.time() - LEASE_EXPIRY_S - 1
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))


def test_what_was_not_renewed_for_long_counts_for_nothing(folder):
    dead, living = Leases(folder), Leases(folder)
    dead.acquire("a")
    living.acquire("b")
    age(folder)
    living.renew()
    assert Leases(folder).held_anywhere() == {"b"}
    assert len(list(folder.iterdir())) == 1


def test_a_process_knows_its_own_use_however_old_its_file_is(folder):
    one = Leases(folder)
    one.acquire("a")
    age(folder)
    assert one.held_anywhere() == {"a"}


def test_where_nothing_can_be_noted_nothing_fails(tmp_path):
    one = Leases(tmp_path / "gone" / "in-use")
    one.acquire("a")
    assert one.held_anywhere() == {"a"}
