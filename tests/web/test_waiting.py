"""`?wait=`: answered at the end of what is waited for, or of the time; and nobody else waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from airflow_rest_api.services import errors, watching
from airflow_rest_api.web import waiting
from airflow_rest_api.web.bridge import Workers
from tests.web import small


def later(seconds, work):
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


def timed(call):
    begin = time.monotonic()
    return call(), time.monotonic() - begin


class TestRuns:
    def test_a_run_that_has_ended_is_answered_at_once(self, rest, scenario):
        answer, seconds = timed(lambda: rest.get(scenario.succeeded.path, params={"wait": 60}))
        assert (answer.status_code, answer.json()["state"]) == (200, "success")
        assert seconds < 2

    def test_the_answer_comes_with_the_end(self, rest, new_run):
        run = new_run("manual", state="running")
        later(1, lambda: rest.patch(run.path, json={"state": "success"}))
        answer, seconds = timed(lambda: rest.get(run.path, params={"wait": 30}))
        assert answer.json()["state"] == "success"
        assert 0.9 < seconds < 10

    def test_when_the_time_is_up_the_present_state_is_answered(self, rest, new_run):
        run = new_run("manual", state="running")
        answer, seconds = timed(lambda: rest.get(run.path, params={"wait": 1}))
        assert (answer.status_code, answer.json()["state"]) == (200, "running")
        assert 0.9 < seconds < 5

    def test_a_run_that_is_deleted_meanwhile_is_not_found(self, rest, new_run):
        run = new_run("manual", state="queued")
        later(0.5, lambda: rest.delete(run.path))
        assert rest.get(run.path, params={"wait": 30}).status_code == 404

    @pytest.mark.parametrize("wait", [-1, 61, "x", ""])
    def test_nobody_waits_longer_than_a_minute(self, rest, scenario, wait):
        assert rest.get(scenario.succeeded.path, params={"wait": wait}).status_code == 400

    def test_permission_is_asked_first(self, rest, scenario):
        for role, status in (("nobody", 403), (None, 401)):
            assert rest.get(scenario.running.path, params={"wait": 5}, role=role).status_code == status

    @pytest.mark.in_process
    def test_permission_is_asked_again_at_the_end(self, rest, new_run, monkeypatch):
        from airflow_rest_api.security import access

        run, asked = new_run("manual", state="running"), []
        known = access.require

        def counted(*given):
            asked.append(1)
            if len(asked) > 1:
                raise errors.Denied("The role was taken away meanwhile.")
            return known(*given)

        monkeypatch.setattr(access, "require", counted)
        assert rest.get(run.path, params={"wait": 1}).status_code == 403

    def test_a_known_answer_is_still_known_at_the_end(self, rest, new_run):
        run = new_run("manual", state="running")
        tag = rest.get(run.path).headers["etag"]
        assert rest.get(run.path, params={"wait": 1}, headers={"If-None-Match": tag}).status_code == 304


class TestTaskInstances:
    def test_the_answer_comes_with_the_end(self, rest, new_run):
        run = new_run("manual", state="running", task_states={"first": "running"})
        path = f"{run.path}/taskInstances/first"

        def finish():
            from airflow.models.taskinstance import TaskInstance
            from airflow.utils.session import create_session

            with create_session(scoped=False) as session:
                session.query(TaskInstance).filter_by(run_id=run.dag_run_id, task_id="first").update(
                    {"state": "skipped"}
                )

        later(0.7, finish)
        answer, seconds = timed(lambda: rest.get(path, params={"wait": 30}))
        assert answer.json()["state"] == "skipped"
        assert seconds < 10

    def test_a_task_without_a_state_has_not_ended(self, rest, new_run):
        run = new_run("manual", state="running")
        answer, seconds = timed(lambda: rest.get(f"{run.path}/taskInstances/first", params={"wait": 1}))
        assert (answer.json()["state"], seconds > 0.9) == (None, True)

    def test_a_mapped_one_can_be_waited_for(self, rest, scenario):
        path = f"{scenario.mapped_run.path}/taskInstances"
        entries = rest.get(path).json()["task_instances"]
        mapped = next(entry for entry in entries if entry["map_index"] >= 0)
        answer = rest.get(f"{path}/{mapped['task_id']}/{mapped['map_index']}", params={"wait": 1})
        assert answer.status_code == 200


class TestTheQuery:
    def test_it_tells_what_has_ended_or_is_gone(self, rest, scenario):
        runs = [scenario.succeeded, scenario.failed, scenario.running, scenario.queued]
        keys = {(run.dag_id, run.dag_run_id) for run in runs} | {("etl", "gone")}
        ended = watching.finished("dag_run", keys, ["success", "failed"])
        assert ended == {("etl", run.dag_run_id) for run in runs[:2]} | {("etl", "gone")}

    @pytest.mark.postgres
    def test_it_does_on_postgresql(self, rest, scenario):
        keys = {(run.dag_id, run.dag_run_id) for run in (scenario.succeeded, scenario.running)}
        assert len(watching.finished("dag_run", keys, ["success", "failed"])) == 1


WHAT = waiting.Watched("dag_run", ("etl", "r1"), ("success",))


class TestThePoller:
    """One look per kind and half a second, whoever waits for whatever."""

    def run(self, steps, finished):
        async def within():
            return await steps(waiting.Poller(finished, Workers(2)))

        return asyncio.run(within())

    def test_many_waiters_are_one_query(self, monkeypatch):
        monkeypatch.setattr(waiting, "POLL_SECONDS", 0.05)
        asked = []

        def finished(kind, keys, terminal):
            asked.append((kind, sorted(keys), terminal))
            return set(keys) if len(asked) == 3 else set()

        async def steps(poller):
            await asyncio.gather(*(poller.ended(WHAT) for _ in range(100)))
            return dict(poller._waiting)

        assert self.run(steps, finished) == {}
        assert asked == [("dag_run", [("etl", "r1")], ("success",))] * 3

    def test_it_rests_when_nobody_waits(self, monkeypatch):
        monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)

        async def steps(poller):
            waiter = asyncio.ensure_future(poller.ended(WHAT))
            await asyncio.sleep(0.05)
            waiter.cancel()
            await asyncio.sleep(0.1)
            return poller._task.done(), dict(poller._waiting)

        assert self.run(steps, lambda *_: set()) == (True, {})

    def test_a_database_that_is_away_for_a_moment_ends_nothing(self, monkeypatch):
        monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
        asked = []

        def finished(_, keys, __):
            asked.append(1)
            if len(asked) < 3:
                raise errors.DatabaseUnavailable
            return set(keys)

        async def steps(poller):
            await asyncio.wait_for(poller.ended(WHAT), 5)

        self.run(steps, finished)
        assert len(asked) == 3

    def test_a_kind_that_nobody_watches_stops_the_start(self, build):
        from airflow_rest_api.web.app import StartError

        rule = {"kind": "weather", "key": [], "terminal": ["sun"]}
        paths = {"/weather": {"get": small.operation("get_weather", **{"x-waits-for": rule})}}
        with pytest.raises(StartError, match="waits for 'weather', which nobody watches"):
            build(paths, {"get_weather": small.empty})


@pytest.mark.slow
class TestServers:
    """On a real server: waiters hold no thread, and one whose client has gone is gone."""

    @pytest.fixture
    def url(self, rest):
        with small.serving(rest.http.app) as (host, port):
            yield f"http://{host}:{port}/rest_api/v1"

    def test_more_wait_than_there_are_threads_and_others_are_served(self, url, new_run, token, rest):
        run = new_run("manual", state="running")
        headers = {"Authorization": f"Bearer {token('admin')}"}

        def wait(_):
            return httpx.get(f"{url}{run.path}?wait=30", headers=headers, timeout=60).json()["state"]

        with ThreadPoolExecutor(60) as pool:
            waiters = [pool.submit(wait, number) for number in range(60)]
            time.sleep(2)
            answer, seconds = timed(lambda: httpx.get(f"{url}/dags?limit=1", headers=headers, timeout=60))
            assert (answer.status_code, seconds < 5) == (200, True)
            rest.patch(run.path, json={"state": "failed"})
            begin = time.monotonic()
            assert {waiter.result() for waiter in waiters} == {"failed"}
            assert time.monotonic() - begin < 10

    def test_who_has_gone_waits_no_more(self, url, new_run, token, rest, monkeypatch):
        pollers = []
        known = waiting.Poller.ended

        async def ended(self, what):
            pollers.append(self)
            await known(self, what)

        monkeypatch.setattr(waiting.Poller, "ended", ended)
        run = new_run("manual", state="running")
        headers = {"Authorization": f"Bearer {token('admin')}"}
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{url}{run.path}?wait=60", headers=headers, timeout=1)
        deadline = time.monotonic() + 10
        while pollers[0]._waiting and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not pollers[0]._waiting
