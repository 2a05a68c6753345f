"""Login limits: how many guesses reach the password check, and who is kept waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from sqlalchemy import func, select

from airflow_rest_api.security import auth_manager, login_limits, login_names
from airflow_rest_api.security.auth_manager import LoginFailed, LoginNotSupported
from airflow_rest_api.security.login_limits import LoginLimits, TooManyLogins
from airflow_rest_api.security.login_names import LoginName
from airflow_rest_api.services import errors
from airflow_rest_api.services.database import unit_of_work
from airflow_rest_api.storage.tables import login_failure as table
from airflow_rest_api.web.app import create_application
from tests.security import issuers
from tests.web import small

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
LOGIN = "/security/login"
ADMIN = {"username": "admin", "password": "admin-password"}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: `clock(seconds)` moves it."""
    now = [datetime(2030, 1, 1, tzinfo=timezone.utc)]
    monkeypatch.setattr(login_limits, "_now", lambda: now[0])

    def move(seconds):
        now[0] += timedelta(seconds=seconds)

    return move


@pytest.fixture
def limits(rest):
    return LoginLimits(issuers.keys())


def fail(limits, username="admin", client=HERE):
    """Try a wrong password; tell whether the account would have been checked."""
    with pytest.raises(LoginFailed), limits.attempt(username, client) as admitted:
        raise LoginFailed
    return admitted


def wait(limits, username="admin", client=HERE):
    """For how many seconds an attempt has to wait; nothing is counted."""
    with pytest.raises(TooManyLogins) as refusal, limits.attempt(username, client):
        pytest.fail("the attempt was let through")
    return refusal.value.retry_after


def rows():
    with unit_of_work() as session:
        return session.scalar(select(func.count()).select_from(table))


class TestOneName:
    def test_five_failures_are_free_and_then_each_pause_is_twice_as_long(self, limits, clock):
        for _ in range(5):
            fail(limits)
        for pause in (1, 2, 4, 8, 16):
            assert wait(limits) == pause
            clock(pause - 0.5)
            assert wait(limits) == 1
            clock(0.5)
            fail(limits)
        assert wait(limits) == 900

    def test_a_failure_counted_after_the_clock_was_read_holds_up_nobody(self, limits, clock):
        for _ in range(4):
            fail(limits)
        clock(-1)
        fail(limits)

    def test_who_is_refused_does_not_wait_the_longer_for_it(self, limits, clock):
        self.exhaust(limits, clock)
        clock(600)
        assert [wait(limits) for _ in range(3)] == [300] * 3
        clock(300)
        fail(limits)

    def test_in_no_fifteen_minutes_more_than_ten_are_let_through(self, limits, clock):
        let_through = []
        for second in range(0, 4000, 7):
            try:
                with limits.attempt("admin", HERE):
                    raise LoginFailed
            except LoginFailed:
                let_through.append(second)
            except TooManyLogins:
                pass
            clock(7)
        windows = [[other for other in let_through if 0 <= other - first < 900] for first in let_through]
        assert max(len(window) for window in windows) == 10
        assert len(let_through) > 30

    def test_other_names_and_other_networks_are_not_affected(self, limits, clock):
        self.exhaust(limits, clock)
        fail(limits, "viewer")
        fail(limits, client=ELSEWHERE)
        fail(limits, "ADMIN")  # to the SimpleAuthManager another user

    def test_a_success_forgets_the_failures(self, limits, clock):
        for _ in range(5):
            fail(limits)
        clock(1)
        with limits.attempt("admin", HERE):
            pass
        for _ in range(5):
            fail(limits)
        assert wait(limits) == 1

    @pytest.mark.parametrize("fault", [errors.DatabaseUnavailable(), LoginNotSupported("elsewhere")])
    def test_what_is_not_the_callers_fault_does_not_count(self, limits, clock, fault):
        for _ in range(12):
            with pytest.raises(type(fault)), limits.attempt("admin", HERE):
                raise fault
        for _ in range(5):
            fail(limits)

    def test_a_fault_of_the_service_counts_because_a_guess_may_have_caused_it(self, limits, clock):
        for _ in range(5):
            with pytest.raises(ZeroDivisionError), limits.attempt("admin", HERE):
                raise ZeroDivisionError
        assert wait(limits) == 1

    def test_neither_name_nor_address_is_stored(self, limits, clock):
        fail(limits, "somebody")
        with unit_of_work() as session:
            stored = str(session.execute(select(table)).all())
        assert "somebody" not in stored
        assert HERE not in stored
        assert rows() == 3

    def test_what_no_longer_counts_is_deleted(self, limits, clock):
        fail(limits, "somebody")
        clock(901)
        fail(limits, "somebody else", ELSEWHERE)
        assert rows() == 3

    @staticmethod
    def exhaust(limits, clock):
        for _ in range(10):
            clock(16)
            fail(limits)


class TestOneNetwork:
    def test_a_hundred_failures_over_all_names_are_the_most(self, limits, clock):
        for number in range(100):
            fail(limits, f"user-{number}")
        assert wait(limits, "user-100") == 900
        fail(limits, "user-100", ELSEWHERE)
        clock(900)
        fail(limits, "user-100")

    def test_its_count_ends_a_quarter_of_an_hour_after_the_first_failure(self, limits, clock):
        for number in range(100):
            fail(limits, f"user-{number}")
            clock(8)
        assert wait(limits, "another") == 100

    def test_a_success_gives_back_one_and_no_more(self, limits, clock):
        for number in range(99):
            fail(limits, f"user-{number}")
        for _ in range(3):
            with limits.attempt("admin", HERE):
                pass
        fail(limits, "user-99")
        assert wait(limits) == 900

    def test_addresses_of_one_ipv6_network_are_one(self, limits, clock):
        for number in range(5):
            fail(limits, client=f"2001:db8::{number}")
        assert wait(limits, client="2001:db8::ffff") == 1
        fail(limits, client="2001:db8:0:1::1")


class TestOneAccount:
    """A user of Flask-AppBuilder has two names: the e-mail address is good for logging in too."""

    @pytest.fixture(autouse=True)
    def names(self, monkeypatch):
        monkeypatch.setattr(
            login_names, "read", lambda name: LoginName(name, "id:1" if "alice" in name else f"name:{name}")
        )

    def test_ten_guesses_are_the_most_under_all_its_names(self, limits, clock):
        seen = []
        for number in range(20):
            clock(16)
            seen.append(fail(limits, "alice" if number % 2 else "alice@example.com"))
        assert seen == [True] * 10 + [False] * 10

    def test_its_two_names_are_answered_as_if_they_were_two_users(self, limits, clock):
        waits = {}
        for second in ("alice@example.com", "bob@example.com"):
            for _ in range(10):
                clock(16)
                fail(limits, "alice", ELSEWHERE)
            waits[second] = [self.answer(limits, second) for _ in range(8)]
            clock(2000)
        assert waits["alice@example.com"] == waits["bob@example.com"]

    @staticmethod
    def answer(limits, username):
        with pytest.raises((LoginFailed, TooManyLogins)) as refusal, limits.attempt(username, ELSEWHERE):
            raise LoginFailed
        return refusal.value.detail, getattr(refusal.value, "retry_after", None)

    def test_what_was_not_counted_is_not_given_back(self, limits, clock):
        for _ in range(10):
            clock(16)
            fail(limits, "alice")
        for _ in range(3):
            with pytest.raises(errors.DatabaseUnavailable), limits.attempt("alice@example.com", HERE):
                raise errors.DatabaseUnavailable
        assert fail(limits, "alice@example.com") is False


class TestNames:
    @pytest.fixture
    def fab(self, monkeypatch):
        """Flask-AppBuilder as far as names go: nobody has an account."""
        monkeypatch.setattr(auth_manager, "is_fab", lambda: True)
        monkeypatch.setattr(auth_manager, "fab_account", lambda name: None)
        monkeypatch.setattr(auth_manager, "fab_has_ldap", lambda: False)

    def test_the_simple_manager_tells_all_spellings_apart(self, rest):
        names = ["admin", "Admin", " admin", "admin "]
        assert len({login_names.read(name) for name in names}) == 4

    def test_flask_appbuilder_does_not_look_at_case(self, fab):
        assert login_names.read("Alice") == login_names.read("aLICE")
        assert login_names.read("alice ") != login_names.read("alice")

    @pytest.mark.parametrize(
        "other",
        [
            "ALICE",
            " alice",
            "alice\u00a0",
            "ａｌｉｃｅ",
            "al\u00adice",
            "álice",
            r"\61lice",
            r"a\6C\69ce",
            "al\u200bice",
        ],
    )
    def test_a_directory_takes_many_spellings_for_one(self, fab, monkeypatch, other):
        monkeypatch.setattr(auth_manager, "fab_has_ldap", lambda: True)
        assert login_names.read(other) == login_names.read("alice")
        assert login_names.read("alicia") != login_names.read("alice")

    def test_an_account_is_known_by_its_id(self, fab, monkeypatch):
        monkeypatch.setattr(auth_manager, "fab_account", {"alice": "7", "alice@example.com": "7"}.get)
        accounts = {login_names.read(name).account for name in ("alice", "alice@example.com")}
        assert accounts == {"id:7"}
        assert login_names.read("id:7").account == "name:id:7"


class TestThroughHttp:
    def guess(self, rest, username, **options):
        return rest.post(LOGIN, json={"username": username, "password": "wrong"}, role=None, **options)

    def test_whether_the_user_exists_makes_no_difference(self, rest):
        told = []
        for username in ("admin", "ghost"):
            answers = [self.guess(rest, username) for _ in range(7)]
            assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 2
            assert answers[-1].headers["retry-after"] == "1"
            told.append({**answers[-1].json(), "request_id": None})
        assert told[0] == told[1]
        assert told[0]["type"].endswith(":too-many-logins")

    def test_the_right_password_waits_as_well(self, rest):
        for _ in range(5):
            self.guess(rest, "admin")
        assert rest.post(LOGIN, json=ADMIN, role=None).status_code == 429
        time.sleep(1)
        assert rest.post(LOGIN, json=ADMIN, role=None).status_code == 200
        assert self.guess(rest, "admin").status_code == 401

    def test_the_old_address_counts_as_well(self, rest):
        old = [rest.http.post("/api/v1/security/login", json={**ADMIN, "password": "x"}) for _ in range(5)]
        assert {answer.status_code for answer in old} == {401}
        assert self.guess(rest, "admin").status_code == 429
        assert rest.http.post("/api/v1/security/login", json=ADMIN).status_code == 429

    def test_an_account_that_had_its_guesses_gets_the_answer_of_a_wrong_password(self, rest, monkeypatch):
        monkeypatch.setattr(login_names, "read", lambda name: LoginName(name, "id:1"))
        monkeypatch.setattr(login_limits, "ACCOUNT", login_limits.Limit(free=2, most=2))
        first = [self.guess(rest, "first") for _ in range(2)]
        answer = rest.post(LOGIN, json=ADMIN, role=None)
        assert answer.status_code == 401
        assert {**answer.json(), "request_id": 0} == {**first[0].json(), "request_id": 0}

    def test_without_the_database_nobody_is_checked(self, rest, monkeypatch):
        def away(*_):
            raise errors.AlreadyExists("again and again")

        monkeypatch.setattr(login_limits, "_reserve", away)
        assert rest.post(LOGIN, json=ADMIN, role=None).status_code == 503


class TestAddresses:
    """Whose address counts behind a proxy: that of the peer, unless uvicorn was told to trust it."""

    @pytest.fixture
    def statuses(self, metadata_database):
        def guess(count):
            with small.serving(create_application()) as (host, port), httpx.Client() as http:
                return [
                    http.post(
                        f"http://{host}:{port}/rest_api/v1{LOGIN}",
                        json={**ADMIN, "password": "wrong"},
                        headers={"X-Forwarded-For": f"198.51.100.{number}"},
                    ).status_code
                    for number in range(count)
                ]

        return guess

    def test_a_forged_one_of_a_peer_that_is_not_trusted_changes_nothing(self, statuses, monkeypatch):
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.1")
        assert statuses(7) == [401] * 5 + [429] * 2

    def test_that_of_a_trusted_proxy_counts(self, statuses, monkeypatch):
        monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
        assert statuses(7) == [401] * 7


class TestManyAtOnce:
    def reaching(self, limits, callers=24, guesses=120):
        """How many of so many guesses at once reach the password check."""
        reached = []

        def guess(number):
            try:
                with limits.attempt("admin", HERE):
                    reached.append(number)
                    time.sleep(0.02)  # as long as hashing takes, or less
                    raise LoginFailed
            except (LoginFailed, TooManyLogins):
                pass

        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(guess, range(guesses)))
        return len(reached)

    def test_no_more_than_the_limit_get_through(self, limits, clock):
        assert self.reaching(limits) == 5
        clock(31)
        assert self.reaching(limits) == 1

    @pytest.mark.postgres
    def test_no_more_than_the_limit_get_through_on_postgresql(self, limits, clock):
        assert self.reaching(limits) == 5
        clock(31)
        assert self.reaching(limits) == 1

    def test_counting_after_the_check_would_let_them_through(self, limits, clock, monkeypatch):
        """The negative control: a count that is only looked at before, and raised afterwards."""

        @contextmanager
        def afterwards(username, client):
            buckets = limits._buckets(username, client)
            with unit_of_work() as session:
                login_limits._require_open(session, [buckets.name], login_limits._now())
            try:
                yield True
            finally:
                login_limits._reserved(buckets)

        monkeypatch.setattr(limits, "attempt", afterwards)
        assert self.reaching(limits) > 5
