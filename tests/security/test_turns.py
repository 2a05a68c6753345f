"""Turns: how many go on at once, and that nobody is forgotten."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_rest_api.security.turns import Turns


def test_no_more_than_set_go_on_with_one_key_and_all_come_to_their_turn():
    turns, lock, going_on, most = Turns(3), threading.Lock(), [], []

    def call(_):
        with turns.taken("a"):
            with lock:
                going_on.append(1)
                most.append(len(going_on))
            time.sleep(0.01)
            with lock:
                going_on.pop()

    with ThreadPoolExecutor(20) as pool:
        assert len(list(pool.map(call, range(40)))) == 40
    assert max(most) == 3
    assert not turns._busy


def test_other_keys_do_not_wait():
    turns = Turns(1)
    with turns.taken("a"), turns.taken("b"):
        pass


def test_a_fault_ends_a_turn():
    turns = Turns(1)
    with pytest.raises(KeyError), turns.taken("a"):
        raise KeyError
    with turns.taken("a"):
        assert turns._busy == {"a": 1}


@pytest.mark.in_process
def test_many_good_logins_of_one_user_at_once_all_succeed(rest):
    body = {"username": "user", "password": "user-password"}
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: rest.post("/security/login", json=body, role=None), range(60)))
    assert {answer.status_code for answer in answers} == {200}
