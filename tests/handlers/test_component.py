"""Components: what is told of them, what is refused, and what starting and stopping do; the processes are cheap ones.

`tests/live/test_components.py` starts Airflow's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from unittest import mock

import psutil
import pytest
from airflow.jobs.job import Job
from sqlalchemy import delete

from airflow_rest_api.services import component as service
from airflow_rest_api.services import errors, jobs, retries
from airflow_rest_api.services.components import catalogue, places, recipe, starting
from airflow_rest_api.services.database import reading, unit_of_work
from airflow_rest_api.settings import COMPONENTS
from airflow_rest_api.web import contract
from tests.conftest import application, in_process
from tests.support import clients, component_processes
from tests.support.canaries import FERNET_KEY
from tests.support.component_processes import add_job, beat

pytestmark = [pytest.mark.slow, pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

ENABLED = "scheduler,dag-processor,triggerer,api-server"
START, STOP = "/components/triggerer/start", "/components/triggerer/stop"


@pytest.fixture(scope="module")
def able(token):
    """A client of a service whose administrator has named some components."""
    with mock.patch.dict(os.environ, {"AIRFLOW__REST_API__COMPONENTS_ENABLED": ENABLED}):
        built = application()
    with in_process(built) as http:
        yield clients.Client(http, clients.REST, token)


@pytest.fixture
def calls(tmp_path):
    with component_processes.fake(tmp_path, AIRFLOW_API_APPS="core", FAKE_SECRET="kept") as found:
        yield found


def kind(answer):
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def ended(client, answer):
    """The operation that an answer tells of, when it has ended."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"].endswith(answer.json()["operation_id"])
    return client.get(f"/operations/{answer.json()['operation_id']}", params={"wait": 30}).json()


def begun(client, component_name, **options):
    answer = client.post(f"/components/{component_name}/start", **options)
    assert answer.status_code == 202, answer.text
    return answer


def lives(pid):
    """Whether a process is there that is more than what its parent has not asked for yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestGetComponents:
    def test_all_are_told_and_why_they_may_not_be_started(self, rest):
        found = rest.get("/components").json()
        assert [one["name"] for one in found["components"]] == list(COMPONENTS)
        assert found["total_entries"] == len(COMPONENTS)
        told = {(one["may_start"], one["why_not"]) for one in found["components"]}
        assert told == {(False, "The administrator has not named it in [rest_api] components_enabled.")}

    def test_who_may_start_them_is_told_so(self, able):
        def may_start(role):
            found = able.get("/components", role=role).json()["components"]
            return {one["name"]: one["why_not"] for one in found if one["name"] in ENABLED.split(",")}

        assert set(may_start("admin").values()) == {None}
        assert set(may_start("op").values()) == {
            "You lack the power 'components', which an administrator grants."
        }

    def test_jobs_that_live_are_told_of_every_host(self, rest):
        alive = add_job("SchedulerJob", hostname="elsewhere")
        found = {one["name"]: one["jobs"] for one in rest.get("/components").json()["components"]}
        assert [job for jobs in found.values() for job in jobs] == found["scheduler"]
        (job,) = found["scheduler"]
        assert (job["id"], job["job_type"], job["state"], job["hostname"]) == (
            alive,
            "SchedulerJob",
            "running",
            "elsewhere",
        )

    @pytest.mark.postgres
    def test_jobs_are_told_on_postgres_as_well(self, rest):
        alive = [add_job(kind, hostname="elsewhere") for kind in ("DagProcessorJob", "TriggererJob")]
        told = [job["id"] for one in rest.get("/components").json()["components"] for job in one["jobs"]]
        assert told == alive
        with reading() as session:
            since = datetime.now(timezone.utc) - timedelta(seconds=30)
            assert [job.has_beaten for job in jobs.on_host(session, "TriggererJob", "elsewhere", since)] == [
                True
            ]
        # No other test shall take them for alive: this database is not restored.
        with unit_of_work() as session:
            session.execute(delete(Job).where(Job.hostname == "elsewhere"))

    def test_it_takes_the_right_to_see_jobs(self, rest):
        assert rest.get("/components", role="viewer").status_code == 200
        assert kind(rest.get("/components", role="nobody")) == (403, "denied")


class TestGetComponent:
    def test_one_is_told_as_in_the_list(self, able, calls):
        begun(able, "triggerer", json={"options": {"capacity": 3, "verbose": True}})
        found = able.get("/components/triggerer").json()
        (process,) = found.pop("processes")
        assert found == {
            "name": "triggerer",
            "description": "Waits on behalf of deferred tasks.",
            "options": ["capacity", "queues", "skip_serve_logs", "team_name", "verbose"],
            "may_start": True,
            "why_not": None,
            "jobs": [],
        }
        assert psutil.Process(process["pid"]).is_running()
        assert process["command"] == ["airflow", "triggerer", "--capacity=3", "--verbose"]
        assert (process["instance"], process["state"], process["exit_code"]) == (None, "running", None)
        assert (process["restarts"], process["process_count"]) == (0, 1)
        assert "/" not in process["log_file"]

    @pytest.mark.parametrize("name", ["webserver", "Scheduler", "~", "scheduler "])
    def test_there_are_no_others(self, able, name):
        for method, action in (("GET", ""), ("POST", "/start"), ("POST", "/stop")):
            assert kind(able.request(method, f"/components/{name.replace(' ', '%20')}{action}"))[0] == 404


class TestStartComponent:
    def test_it_is_switched_off_unless_the_administrator_names_the_component(self, rest, able):
        assert kind(rest.post(START)) == (403, "switch-off")
        answer = able.post("/components/kerberos/start")
        assert kind(answer) == (403, "component-not-enabled")
        assert answer.json()["switch"] == "components_enabled"

    @pytest.mark.parametrize("role", ["op", "user", "viewer"])
    def test_it_takes_the_power(self, able, role):
        assert kind(able.post(START, role=role)) == (403, "power-missing")
        assert kind(able.post(STOP, role=role)) == (403, "power-missing")

    def test_it_ends_when_the_component_has_a_heartbeat(self, able, calls, monkeypatch):
        monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
        old = add_job("TriggererJob")
        answer = begun(able, "triggerer", json={"options": {"queues": ["a", "b.c"]}})
        operation_id = answer.json()["operation_id"]
        waiting = able.get(f"/operations/{operation_id}", params={"wait": 1}).json()
        assert waiting["state"] == "running", waiting

        fresh = add_job("TriggererJob", beaten=False)
        assert able.get(f"/operations/{operation_id}", params={"wait": 1}).json()["state"] == "running"
        beat(fresh)
        found = ended(able, answer)

        assert found["state"] == "succeeded", found
        assert old < fresh
        (item,) = found["items"]
        assert item == {"component_name": "triggerer", **found["result"]}
        assert found["progress"] == {"done": 1, "total": 1}
        (process,) = able.get("/components/triggerer").json()["processes"]
        assert process["pid"] == found["result"]["pid"]
        assert calls.arguments() == [["-m", "airflow", "triggerer", "--queues=a,b.c"]]

    def test_the_environment_is_the_services_own(self, able, calls):
        begun(able, "triggerer")
        calls.settled(1)
        given = calls.environment()
        assert (given["FAKE_SECRET"], given["AIRFLOW_HOME"]) == ("kept", os.environ["AIRFLOW_HOME"])
        assert "AIRFLOW_API_APPS" not in given

    def test_what_ends_at_once_is_told_with_its_last_lines(self, able, tmp_path):
        with component_processes.fake(tmp_path / "failing", FAKE_EXIT="3", FAKE_SAYS=FERNET_KEY):
            found = ended(able, able.post(START, json={"options": {"capacity": 7}}))
        assert (found["state"], found["result"]["exit_code"], found["result"]["state"]) == (
            "failed",
            3,
            "failed",
        )
        assert found["error"] == "The component 'triggerer' has ended with 3; the log tells more."
        assert "called with -m airflow triggerer --capacity=7\n***\n" in found["log"]

    def test_what_has_to_end_may_end(self, able, tmp_path):
        with component_processes.fake(tmp_path / "ending", FAKE_EXIT="0"):
            found = ended(able, begun(able, "scheduler", json={"options": {"num_runs": 2}}))
            assert (found["state"], found["result"]["exit_code"]) == ("succeeded", 0), found
            assert ended(able, begun(able, "scheduler"))["state"] == "failed"

    def test_what_gives_no_sign_of_life_is_told_and_left_alone(self, able, calls):
        slow = dataclasses.replace(catalogue.find("triggerer"), ready_seconds=1)
        with mock.patch.object(catalogue, "RECIPES", {**catalogue.RECIPES, "triggerer": slow}):
            found = ended(able, able.post(START))
        assert found["state"] == "failed"
        told = "The component 'triggerer' has given no sign of life within 1 s; the log tells more"
        assert found["error"] == f"{told}; stop_component ends it."
        assert psutil.Process(found["result"]["pid"]).is_running()

    def test_it_is_started_again_when_wished_for(self, able, tmp_path):
        with component_processes.fake(tmp_path, FAKE_EXIT="4"):
            answer = begun(able, "triggerer", json={"restart": True})
            deadline = time.monotonic() + 20
            while not (known := able.get("/components/triggerer").json()["processes"][0])["restarts"]:
                assert time.monotonic() < deadline, known
                time.sleep(0.1)
            assert able.get(f"/operations/{answer.json()['operation_id']}").json()["state"] == "running"
            assert ended(able, able.post(STOP))["state"] == "succeeded"
            assert ended(able, answer)["state"] == "failed"

    def test_it_runs_once_unless_instances_are_named(self, able, calls):
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: able.post(START), range(4)))
        assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
        answer = able.post(START)
        assert kind(answer) == (409, "component-runs")
        assert answer.json()["pid"] == able.get("/components/triggerer").json()["processes"][0]["pid"]
        for instance in ("second", "third"):
            begun(able, "triggerer", params={"instance": instance})
        found = able.get("/components/triggerer").json()["processes"]
        assert sorted(str(one["instance"]) for one in found if one["state"] == "running") == [
            "None",
            "second",
            "third",
        ]
        assert len(calls.settled(3)) == 3

    def test_there_are_not_any_number_of_instances(self, able, calls, monkeypatch):
        monkeypatch.setattr(starting, "MOST_INSTANCES", 1)
        begun(able, "triggerer")
        answer = able.post(START, params={"instance": "second"})
        assert kind(answer) == (409, "too-many-instances")
        assert answer.json()["detail"] == "Of the component 'triggerer' 1 instances run here; stop one first."
        assert ended(able, able.post(STOP))["state"] == "succeeded"
        monkeypatch.setattr(starting, "MOST_NAMES", 1)
        for dry_run in ("true", "false"):
            answer = able.post(START, params={"instance": "second", "dry_run": dry_run})
            assert "take the name of one that has ended" in answer.json()["detail"]
        begun(able, "triggerer")

    def test_a_repetition_with_a_key_starts_nothing(self, able, calls):
        first, second = (able.post(START, headers={"Idempotency-Key": "one-start"}) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert len(able.get("/components/triggerer").json()["processes"]) == 1

    def test_what_a_dead_call_has_started_is_not_started_again(self, able, calls):
        """The service died after the start and before its operation was stored; the call comes again with its key."""
        wishes = {"capacity": 5}
        with starting.started(catalogue.find("triggerer"), None, wishes, restart=False) as left:
            pass
        taken_over = retries.Claim("scope", "attempt", 202, is_taken_over=True)
        for wished, expected in ((wishes, left.pid), ({"capacity": 6}, None)):
            again = starting.started(catalogue.find("triggerer"), None, wished, restart=False)
            with (
                contextlib.suppress(starting.ComponentRuns),
                retries.carrying_out(taken_over),
                again as found,
            ):
                assert found.pid == expected
        assert len(calls.settled(1)) == 1

    def test_what_cannot_be_stored_is_not_left_running(self, able, calls):
        with (
            mock.patch.object(service, "write", side_effect=errors.DatabaseUnavailable),
            mock.patch.object(starting, "GRACE_SECONDS", 0),
        ):
            assert able.post(START).status_code == 503
        deadline = time.monotonic() + 10
        while places.registry().find("triggerer").processes:
            assert time.monotonic() < deadline
        assert begun(able, "triggerer").status_code == 202

    def test_a_dry_run_tells_the_command_and_starts_nothing(self, able, calls):
        body = {"options": {"host": "::1", "apps": ["core", "execution"], "proxy_headers": False}}
        answer = able.post(
            "/components/api-server/start", params={"dry_run": "true", "instance": "x"}, json=body
        )
        found = answer.json()
        assert (answer.status_code, found["operation_id"], found["state"]) == (202, None, "succeeded")
        command = ["airflow", "api-server", "--host=::1", "--apps=core,execution"]
        assert found["items"] == [
            {"component_name": "api-server", "instance": "x", "state": "starting", "command": command}
        ]
        assert (calls.arguments(), places.registry().all()) == ([], [])

    def test_an_api_server_is_for_this_host_unless_told_otherwise(self, able):
        answer = able.post("/components/api-server/start", params={"dry_run": "true"})
        assert answer.json()["items"][0]["command"] == ["airflow", "api-server", "--host=127.0.0.1"]

    @pytest.mark.parametrize(
        ("name", "body", "expected"),
        [
            ("triggerer", {"options": {"port": 8080}}, "component-option-unknown"),
            ("triggerer", {"options": {"queues": ["a"]}}, "component-option-rejected"),
            ("triggerer", {"options": {"team_name": "a"}}, "component-option-rejected"),
            ("scheduler", {"options": {"only_idle": True}}, "component-option-rejected"),
            ("scheduler", {"options": {"daemon": True}}, "malformed"),
            ("scheduler", {"options": {"num_runs": 0}}, "malformed"),
            ("scheduler", {"options": {"num_runs": "3"}}, "malformed"),
            ("scheduler", {"options": []}, "malformed"),
            ("scheduler", {"num_runs": 3}, "malformed"),
            ("api-server", {"options": {"host": "--help"}}, "malformed"),
            ("api-server", {"options": {"port": 65536}}, "malformed"),
            ("api-server", {"options": {"apps": []}}, "malformed"),
            ("api-server", {"options": {"ssl_key": "/etc/passwd"}}, "malformed"),
            ("dag-processor", {"options": {"bundle_name": "a"}}, "malformed"),
            ("dag-processor", {"options": {"bundle_name": ["a\n"]}}, "malformed"),
        ],
    )
    def test_what_no_command_takes_is_refused(self, able, name, body, expected):
        for dry_run in ("true", "false"):
            answer = able.post(f"/components/{name}/start", params={"dry_run": dry_run}, json=body)
            assert kind(answer) == (400, expected)
        assert places.registry().all() == []

    @pytest.mark.parametrize("instance", ["", "-x", "../x", "a b", "x" * 65, ".hidden"])
    def test_an_instance_has_a_plain_name(self, able, instance):
        for path in (START, STOP):
            assert kind(able.post(path, params={"instance": instance})) == (400, "malformed")


class TestStopComponent:
    def test_it_ends_when_nothing_is_left(self, able, calls):
        begun(able, "triggerer")
        (process,) = able.get("/components/triggerer").json()["processes"]
        tried = able.post(STOP, params={"dry_run": "true"}).json()
        assert (tried["operation_id"], tried["items"][0]["pid"]) == (None, process["pid"])
        assert psutil.pid_exists(process["pid"])

        answer = able.post(STOP, json={"grace_seconds": 20})
        found = ended(able, answer)
        assert found["state"] == "succeeded", found
        assert (found["result"]["state"], found["result"]["process_count"]) == ("exited", 0)
        assert not lives(process["pid"])

    def test_what_does_not_hear_is_killed_though_its_supervisor_was_killed_meanwhile(self, able, tmp_path):
        with component_processes.fake(tmp_path, FAKE_DEAF="yes") as calls:
            begun(able, "triggerer")
            calls.settled(1)
            (process,) = able.get("/components/triggerer").json()["processes"]
            answers = [able.post(STOP, json={"grace_seconds": 3}) for _ in range(2)]
            (known,) = places.registry().all()
            assert known.state == "stopping"
            keeper = psutil.Process(known.supervisor_pid)
            for one in (keeper.parent(), keeper):
                one.kill()
            for found in [ended(able, answer) for answer in answers]:
                assert (found["state"], found["result"]["state"]) == ("succeeded", "exited"), found
            assert not lives(process["pid"])

    @pytest.mark.parametrize("body", [{"grace_seconds": -1}, {"grace_seconds": 601}, {"signal": 9}])
    def test_it_takes_a_bounded_grace_alone(self, able, body):
        assert kind(able.post(STOP, json=body)) == (400, "malformed")

    def test_what_does_not_run_is_not_stopped(self, rest, able, calls):
        assert kind(rest.post(STOP)) == (403, "switch-off")
        assert kind(able.post("/components/kerberos/stop")) == (403, "component-not-enabled")
        assert kind(able.post(STOP)) == (409, "component-not-running")
        begun(able, "triggerer")
        assert ended(able, able.post(STOP, json={"grace_seconds": 0}))["state"] == "succeeded"
        answer = able.post(STOP)
        assert kind(answer) == (409, "component-not-running")
        assert "'exited'" in answer.json()["detail"]


class TestOptions:
    """What the contract says of options, and what becomes of them."""

    def test_the_contract_says_what_the_catalogue_takes(self):
        document = contract.load()
        said = document["components"]["schemas"]["ComponentOptions"]["properties"]
        assert set(said) == {name for one in catalogue.RECIPES.values() for name in one.options}
        for one in catalogue.RECIPES.values():
            for name, option in one.options.items():
                told = {key: value for key, value in said[name].items() if key != "description"}
                assert told == option.schema, f"{one.name}: {name}"

    @pytest.mark.parametrize("name", COMPONENTS)
    def test_options_are_those_of_airflows_command(self, name):
        """Each word that an option can become is one that Airflow's parser knows."""
        from airflow.cli.cli_parser import get_parser

        found = catalogue.RECIPES[name]
        if found.missing() is not None or found.command[:1] != ("airflow",):
            pytest.skip("has no command of Airflow's here")
        samples = {"integer": 3, "boolean": True, "string": "core", "array": ["core"]}
        for option, meaning in found.options.items():
            _, _, *words = found.argv({option: samples[meaning.schema["type"]]})
            parsed = get_parser().parse_args(words[1:])
            assert str(vars(parsed)[option]) in ("3", "True", "core", "['core']"), option

    def test_a_value_that_does_not_fit_becomes_no_word(self):
        for one in catalogue.RECIPES.values():
            for name in one.options:
                for value in ("--x", "a b", "$(x)", "a\n", "", None, [], ["-x"], {}, -1, "x" * 5000):
                    with pytest.raises(recipe.ComponentOptionRejected):
                        one.whole({name: value})
