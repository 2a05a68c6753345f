"""Brute force: of any number of guesses at once, over two replicas, ten per user and network reach the check."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest import mock

import httpx

from tests.support.environment import password_of
from tests.web import small

USERS = ("admin", "viewer", "ghost")
# On the loopback device a client may call from any of its addresses.
ATTACKERS = ("127.0.0.2", "127.0.0.3")
THE_USERS_OWN = "127.0.0.4"
MOST = 10
CALLERS = 24
# Between the rounds the clock of the limits is moved, as if the attacker were patient.
PATIENCE = timedelta(seconds=17)


@dataclass
class Seen:
    """What became of the guesses."""

    answers: Counter[int] = field(default_factory=Counter)
    without_retry_after: int = 0
    checks: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(full: bool) -> dict[str, object]:
    """Guess 2,000 times (quick: 200), and then log in as the user from elsewhere."""
    seen, rounds = Seen(), 20 if full else 10
    guesses = 2000 if full else 200
    with watched(seen) as clock, replicas() as urls, clients() as https:
        for _ in range(rounds):
            guess(seen, urls, https, guesses // rounds)
            clock[0] += PATIENCE
        at_home = [log_in(https[THE_USERS_OWN], url, "admin", password_of("admin")) for url in urls]
    return verdict(seen, guesses, [answer.status_code for answer in at_home])


def verdict(seen: Seen, guesses: int, at_home: list[int]) -> dict[str, object]:
    most, refused = max(seen.checks.values()), seen.answers[429]
    assert set(seen.answers) <= {401, 429}, f"other answers than 401 and 429: {dict(seen.answers)}"
    assert most <= MOST, f"{most} guesses of one user and network reached the password check"
    assert sum(seen.checks.values()) == seen.answers[401], "an attempt was checked and not answered with 401"
    assert seen.without_retry_after == 0, f"{seen.without_retry_after} refusals without Retry-After"
    assert refused > 0, "nobody was ever refused"
    assert at_home == [200, 200], f"the user's own login from another network got {at_home}"
    return {
        "guesses": guesses,
        "refused with 429 and Retry-After": refused,
        "reached the password check, most per user and network": most,
        "reached the password check, in all": sum(seen.checks.values()),
        "users times networks": len(USERS) * len(ATTACKERS),
        "the user's own login elsewhere": at_home,
    }


@contextmanager
def watched(seen: Seen) -> Iterator[list[timedelta]]:
    """Count who reaches the password check, and give a hand to move the clock of the limits with."""
    from airflow_rest_api.security import auth_manager, login_limits

    ahead, check, attempt = [timedelta(0)], auth_manager.log_in, login_limits.LoginLimits.attempt
    place = threading.local()

    @contextmanager
    def attempted(self: Any, username: str, client: str) -> Iterator[bool]:
        place.client = client
        with attempt(self, username, client) as admitted:
            yield admitted

    def checked(username: str, *further: Any) -> Any:
        with seen.lock:
            if place.client != THE_USERS_OWN:
                seen.checks[username, place.client] += 1
        return check(username, *further)

    def now() -> datetime:
        return datetime.now(timezone.utc) + ahead[0]

    with (
        mock.patch.object(auth_manager, "log_in", checked),
        mock.patch.object(login_limits.LoginLimits, "attempt", attempted),
        mock.patch.object(login_limits, "_now", now),
    ):
        yield ahead


@contextmanager
def replicas() -> Iterator[list[str]]:
    """Two servers on one database."""
    from airflow_rest_api.web.app import create_application

    with ExitStack() as stack:
        addresses = [stack.enter_context(small.serving(create_application())) for _ in range(2)]
        yield [f"http://127.0.0.1:{port}/rest_api/v1/security/login" for _, port in addresses]


@contextmanager
def clients() -> Iterator[dict[str, httpx.Client]]:
    """A client for each address."""
    with ExitStack() as stack:
        yield {
            address: stack.enter_context(
                httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=120)
            )
            for address in (*ATTACKERS, THE_USERS_OWN)
        }


def guess(seen: Seen, urls: list[str], https: dict[str, httpx.Client], count: int) -> None:
    """Try so many wrong passwords at once, by chance over users, networks and replicas."""
    chance = random.Random(count)
    calls = [(chance.choice(ATTACKERS), chance.choice(urls), chance.choice(USERS)) for _ in range(count)]

    def one(call: tuple[str, str, str]) -> None:
        address, url, username = call
        answer = log_in(https[address], url, username, "wrong")
        with seen.lock:
            seen.answers[answer.status_code] += 1
            if answer.status_code == 429 and int(answer.headers.get("Retry-After", 0)) < 1:
                seen.without_retry_after += 1

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(one, calls))


def log_in(http: httpx.Client, url: str, username: str, password: str) -> httpx.Response:
    return http.post(url, json={"username": username, "password": password})
