"""DagRun: `get_dag_run?explain=true`, one cause after the other."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest
from airflow.jobs.job import Job
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
from sqlalchemy import delete, event, func, select, update

from airflow_rest_api.services import jobs
from tests.support import parser

pytestmark = pytest.mark.usefixtures("restored_database")

WIDE = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("wide", schedule=None, is_paused_upon_creation=False, max_active_tasks=2):
    first = EmptyOperator(task_id="first")
    last = EmptyOperator(task_id="last", depends_on_past=True)
    for number in range({tasks}):
        first >> EmptyOperator(task_id=f"t{number}", pool="small", max_active_tis_per_dag=3) >> last
"""


@pytest.fixture
def alive():
    """All of Airflow's processes were heard of just now."""
    with create_session(scoped=False) as session:
        session.execute(delete(Job))
        for kind in (jobs.SCHEDULER, jobs.DAG_PROCESSOR, jobs.TRIGGERER):
            session.add(job := Job())
            job.job_type, job.state, job.latest_heartbeat = kind, "running", datetime.now(timezone.utc)


@pytest.fixture
def parse(tmp_path):
    def work(text):
        (tmp_path / parser.FILE).write_text(text)
        parser.parse(tmp_path, parser.FILE, 0.5)

    return work


def explained(rest, run, **options):
    answer = rest.get(run.path, params={"explain": True}, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()["explanation"]


def task(explanation, task_id, map_index=-1):
    for entry in explanation["task_instances"]:
        if (entry["task_id"], entry["map_index"]) == (task_id, map_index):
            return entry
    raise AssertionError(f"nothing is told about {task_id}[{map_index}]")


def codes(explanation, task_id=None, map_index=-1):
    causes = (explanation if task_id is None else task(explanation, task_id, map_index))["causes"]
    return [cause["code"] for cause in causes]


def facts(explanation, task_id, code):
    return next(cause["facts"] for cause in task(explanation, task_id)["causes"] if cause["code"] == code)


def alter(run, name, **values):
    with create_session(scoped=False) as session:
        chosen = (TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id == name)
        session.execute(update(TaskInstance).where(*chosen).values(**values))


def alter_dag(dag_id, **values):
    with create_session(scoped=False) as session:
        session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(**values))


@pytest.mark.in_process
class TestGetDagRunExplained:
    def test_without_the_parameter_nothing_is_added(self, rest, scenario):
        assert "explanation" not in rest.get(scenario.running.path).json()
        assert "explanation" not in rest.get(scenario.running.path, params={"explain": False}).json()

    def test_the_rest_of_the_answer_is_the_same(self, rest, scenario):
        plain = rest.get(scenario.running.path).json()
        told = rest.get(scenario.running.path, params={"explain": True}).json()
        assert {name: value for name, value in told.items() if name != "explanation"} == plain

    @pytest.mark.parametrize("name", ["succeeded", "failed", "example", "mapped_run"])
    def test_a_run_that_has_ended_waits_for_nothing(self, rest, scenario, name):
        nothing = {"causes": [], "task_instances": [], "total_entries": 0, "left_out": 0}
        assert explained(rest, getattr(scenario, name)) == nothing

    def test_the_whole_explanation(self, rest, alive, new_run):
        run = new_run("manual", state="running", task_states={"first": "running", "alone": "success"})
        assert explained(rest, run) == {
            "causes": [],
            "task_instances": [
                {
                    "task_id": "second",
                    "map_index": -1,
                    "state": None,
                    "since": None,
                    "causes": [
                        {
                            "code": "trigger_rule_unmet",
                            "detail": "The trigger rule 'all_success' is not met: 'first' is running.",
                            "since": None,
                            "until": None,
                            "facts": {
                                "trigger_rule": "all_success",
                                "upstream": [{"task_id": "first", "state": "running", "count": 1}],
                                "left_out": 0,
                            },
                        }
                    ],
                },
                {
                    "task_id": "third",
                    "map_index": -1,
                    "state": None,
                    "since": None,
                    "causes": [
                        {
                            "code": "trigger_rule_unmet",
                            "detail": "The trigger rule 'all_success' is not met: 'second' is without a state.",
                            "since": None,
                            "until": None,
                            "facts": {
                                "trigger_rule": "all_success",
                                "upstream": [{"task_id": "second", "state": None, "count": 1}],
                                "left_out": 0,
                            },
                        }
                    ],
                },
            ],
            "total_entries": 2,
            "left_out": 0,
        }

    def test_where_nothing_holds_a_task_the_scheduler_is_next(self, rest, alive, new_run):
        run = new_run("manual", state="running")
        assert codes(explained(rest, run), "first") == ["waits_for_scheduler"]

    def test_a_queued_run_holds_its_tasks(self, rest, alive, new_run):
        new_run("manual", state="running")
        alter_dag("manual", max_active_runs=1, is_paused=True)
        run = new_run("manual", state="queued", run_after=datetime(2040, 1, 1, tzinfo=timezone.utc))
        told = explained(rest, run)
        assert codes(told) == ["dag_is_paused", "run_after_lies_ahead", "max_active_runs_reached"]
        assert codes(told, "first") == codes(told)
        assert codes(told, "second") == [*codes(told), "trigger_rule_unmet"]

    def test_dead_processes_are_told_of(self, rest, new_run):
        run = new_run("manual", state="running", task_states={"alone": "queued"})
        told = explained(rest, run)
        assert codes(told) == ["no_scheduler_alive", "no_dag_processor_alive"]
        assert codes(told, "first") == codes(told)
        # What an executor has does not wait for a parse.
        assert codes(told, "alone") == ["waits_for_worker", "no_scheduler_alive"]

    def test_pausing_holds_no_task_that_an_executor_has(self, rest, alive, new_run):
        alter_dag("manual", is_paused=True)
        run = new_run("manual", state="running", task_states={"first": "scheduled", "alone": "queued"})
        told = explained(rest, run)
        assert codes(told, "first") == ["dag_is_paused"]
        assert codes(told, "alone") == ["waits_for_worker"]

    def test_a_queued_task_is_given_up_at_a_known_time(self, rest, alive, new_run):
        from airflow.configuration import conf

        run = new_run("manual", state="running", task_states={"alone": "queued"})
        since = datetime(2026, 2, 1, 12, tzinfo=timezone.utc)
        alter(run, "alone", queued_dttm=since)
        (cause,) = task(explained(rest, run), "alone")["causes"]
        until = since + timedelta(seconds=conf.getfloat("scheduler", "task_queued_timeout"))
        assert (cause["since"], cause["until"]) == (
            "2026-02-01T12:00:00Z",
            until.isoformat().replace("+00:00", "Z"),
        )

    def test_a_full_pool_is_told_with_who_is_in_it(self, rest, alive, new_run):
        with create_session(scoped=False) as session:
            session.add(Pool(pool="small", slots=2, include_deferred=False))
        new = {"state": "running", "task_states": {"first": "running"}}
        alter(new_run("manual", **new), "first", pool="small", pool_slots=2)
        run = new_run("manual", state="running", task_states={"alone": "scheduled"})
        alter(run, "alone", pool="small")
        told = explained(rest, run)
        assert codes(told, "alone") == ["pool_is_full"]
        assert facts(told, "alone", "pool_is_full") == {
            "pool": "small",
            "needed": 1,
            "slots": 2,
            "occupied": 2,
            "occupied_by": [{"dag_id": "manual", "slots": 2}],
        }

    @pytest.mark.parametrize(
        ("slots", "needed", "code"),
        [
            (None, 1, "pool_does_not_exist"),
            (0, 1, "pool_has_no_slots"),
            (2, 3, "pool_is_too_small"),
            (-1, 9, None),
        ],
    )
    def test_a_pool_that_can_never_take_the_task_is_told(self, rest, alive, new_run, slots, needed, code):
        if slots is not None:
            with create_session(scoped=False) as session:
                session.add(Pool(pool="other", slots=slots, include_deferred=False))
        run = new_run("manual", state="running", task_states={"alone": "scheduled"})
        alter(run, "alone", pool="other", pool_slots=needed)
        assert codes(explained(rest, run), "alone") == [code or "waits_for_scheduler"]

    def test_a_pool_that_counts_deferred_tasks_is_full_of_them(self, rest, alive, new_run):
        with create_session(scoped=False) as session:
            session.add(Pool(pool="patient", slots=1, include_deferred=True))
        run = new_run("manual", state="running", task_states={"first": "deferred", "alone": "scheduled"})
        for name in ("first", "alone"):
            alter(run, name, pool="patient")
        named = facts(explained(rest, run), "alone", "pool_is_full")["occupied_by"]
        assert named == [{"dag_id": "manual", "slots": 1}]

    def test_limits_of_the_run_and_of_the_task(self, rest, alive, new_run, parse):
        parse(WIDE.replace("{tasks}", "4"))
        other = new_run("wide", state="running")
        alter(other, "t0", state="deferred")
        busy = {"first": "success", "t0": "running", "t1": "queued", "t2": "scheduled"}
        run = new_run("wide", state="running", task_states=busy)
        with create_session(scoped=False) as session:
            session.add(Pool(pool="small", slots=128, include_deferred=False))
        told = explained(rest, run)
        assert facts(told, "t2", "max_active_tasks_reached") == {"active": 2, "limit": 2}
        third = new_run("wide", state="running", task_states={"t0": "scheduled"})
        alter(new_run("wide", state="running"), "t0", state="running")
        assert codes(explained(rest, third), "t0") == ["max_active_tis_per_dag_reached"]
        assert facts(explained(rest, third), "t0", "max_active_tis_per_dag_reached") == {
            "active": 3,
            "limit": 3,
        }

    def test_an_executor_that_is_full(self, rest, alive, new_run, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "1")
        run = new_run("manual", state="running", task_states={"first": "running", "alone": "scheduled"})
        told = explained(rest, run)
        assert codes(told, "alone") == ["parallelism_reached"]
        assert facts(told, "alone", "parallelism_reached")["limit"] == 1

    def test_a_task_that_is_up_for_retry_says_when(self, rest, alive, scenario, new_run):
        run = new_run(
            "etl", state="running", task_states={"start": "success", "load.customers": "up_for_retry"}
        )
        end = datetime.now(timezone.utc)
        alter(run, "load.customers", end_date=end)
        (cause,) = task(explained(rest, run), "load.customers")["causes"]
        assert cause["code"] == "in_retry_period"
        assert datetime.fromisoformat(cause["until"]) == end + timedelta(minutes=1)
        alter(run, "load.customers", end_date=end - timedelta(hours=1))
        assert codes(explained(rest, run), "load.customers") == ["waits_for_scheduler"]

    def test_a_task_that_is_up_for_reschedule_says_when(self, rest, alive, new_run):
        run = new_run("manual", state="running", task_states={"first": "up_for_reschedule"})
        now = datetime.now(timezone.utc)
        with create_session(scoped=False) as session:
            (id_,) = session.scalars(
                select(TaskInstance.id).filter_by(run_id=run.dag_run_id, task_id="first")
            )
            for minutes in (-5, 5):
                session.add(TaskReschedule(id_, now, now, now + timedelta(minutes=minutes)))
        (cause,) = task(explained(rest, run), "first")["causes"]
        assert cause["code"] == "in_reschedule_period"
        assert datetime.fromisoformat(cause["until"]) == now + timedelta(minutes=5)

    def test_a_deferred_task_waits_for_its_trigger_and_a_triggerer(self, rest, new_run):
        run = new_run("manual", state="running", task_states={"first": "deferred"})
        with create_session(scoped=False) as session:
            session.add(trigger := Trigger(classpath="a.b.Trigger", kwargs={}))
            session.flush()
            number = trigger.id
        alter(run, "first", trigger_id=number)
        told = explained(rest, run)
        assert codes(told, "first") == ["no_triggerer_alive", "waits_for_trigger", "no_scheduler_alive"]
        assert facts(told, "first", "waits_for_trigger") == {"trigger": "a.b.Trigger", "triggerer_id": None}

    @pytest.mark.parametrize(
        ("state", "code"), [("restarting", "waits_for_end_of_process"), ("awaiting_input", "waits_for_input")]
    )
    def test_states_that_say_it_themselves(self, rest, alive, new_run, state, code):
        run = new_run("manual", state="running", task_states={"first": state})
        assert codes(explained(rest, run), "first") == [code]

    def test_a_task_that_the_dag_no_longer_has(self, rest, alive, new_run):
        run = new_run("manual", state="running")
        alter(run, "alone", task_id="gone")
        assert codes(explained(rest, run), "gone") == ["task_is_not_in_dag"]

    def test_a_dag_that_airflow_has_no_more(self, rest, alive, new_run):
        from airflow.models.dag_version import DagVersion
        from airflow.models.serialized_dag import SerializedDagModel

        run = new_run("manual", state="running")
        with create_session(scoped=False) as session:
            session.execute(delete(SerializedDagModel).where(SerializedDagModel.dag_id == "manual"))
            session.execute(update(DagModel).where(DagModel.dag_id == "manual").values(is_stale=True))
            assert session.scalar(select(func.count()).select_from(DagVersion))
        assert codes(explained(rest, run), "first") == ["dag_is_stale"]

    def test_looking_changes_nothing(self, rest, alive, new_run):
        run = new_run("manual", state="running", task_states={"first": "failed"})
        before = rest.get(f"{run.path}/taskInstances").json()
        explained(rest, run)
        assert rest.get(f"{run.path}/taskInstances").json() == before

    def test_the_entity_tag_is_of_the_explanation_too(self, rest, alive, new_run):
        run = new_run("manual", state="running", task_states={"first": "running"})
        params = {"explain": True}
        plain, told = rest.get(run.path), rest.get(run.path, params=params)
        assert plain.headers["etag"] != told.headers["etag"]
        known = {"If-None-Match": told.headers["etag"]}
        assert rest.get(run.path, params=params, headers=known).status_code == 304
        alter(run, "first", state="failed")
        assert rest.get(run.path, params=params, headers=known).status_code == 200

    def test_it_goes_with_waiting(self, rest, alive, new_run):
        run = new_run("manual", state="running")
        answer = rest.get(run.path, params={"explain": True, "wait": 1})
        assert (answer.status_code, answer.json()["explanation"]["total_entries"]) == (200, 4)

    def test_a_run_that_does_not_exist(self, rest):
        assert rest.get("/dags/manual/dagRuns/none", params={"explain": True}).status_code == 404

    @pytest.mark.parametrize("explain", ["maybe", "", "2"])
    def test_it_is_asked_for_or_not(self, rest, scenario, explain):
        assert rest.get(scenario.running.path, params={"explain": explain}).status_code == 400

    @pytest.mark.parametrize(("role", "status"), [(None, 401), ("nobody", 403), ("viewer", 200)])
    def test_who_may(self, rest, scenario, role, status):
        answer = rest.get(scenario.running.path, params={"explain": True}, role=role)
        assert answer.status_code == status

    def test_who_may_read_no_task_instances_gets_no_explanation(self, rest, scenario, monkeypatch):
        from airflow.api_fastapi.app import get_auth_manager

        manager = get_auth_manager()
        known = type(manager).is_authorized_dag

        def not_tasks(self, *, access_entity=None, **given):
            entity = access_entity.name if access_entity else None
            return entity != "TASK_INSTANCE" and known(self, access_entity=access_entity, **given)

        monkeypatch.setattr(type(manager), "is_authorized_dag", not_tasks)
        assert rest.get(scenario.running.path).status_code == 200
        assert rest.get(scenario.running.path, params={"explain": True}).status_code == 403


@pytest.mark.in_process
@pytest.mark.slow
class TestLargeRuns:
    @pytest.fixture
    def run(self, alive, new_run, parse):
        parse(WIDE.replace("{tasks}", "1500"))
        run = new_run("wide", state="running", task_states={"first": "running"})
        with create_session(scoped=False) as session:
            session.add(Pool(pool="small", slots=1, include_deferred=False))
            session.execute(
                update(TaskInstance)
                .where(TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id.in_(["t0", "t1"]))
                .values(state="queued")
            )
            session.execute(
                update(TaskInstance)
                .where(TaskInstance.run_id == run.dag_run_id, TaskInstance.task_id.in_(["t8", "t9"]))
                .values(state="scheduled")
            )
        return run

    def test_a_thousand_tasks_are_told_about_with_few_questions(self, rest, run):
        from airflow import settings

        asked = []
        engine = settings.engine
        explained(rest, run)

        def count(_connection, _cursor, statement, *_):
            asked.append(statement)

        event.listen(engine, "before_cursor_execute", count)
        try:
            begin = time.perf_counter()
            told = explained(rest, run)
            seconds = time.perf_counter() - begin
        finally:
            event.remove(engine, "before_cursor_execute", count)
        assert (told["total_entries"], len(told["task_instances"]), told["left_out"]) == (1501, 1000, 501)
        assert len(asked) <= 25
        assert seconds < 1.5
        assert [entry["task_id"] for entry in told["task_instances"][:4]] == ["t0", "t1", "t8", "t9"]
        assert codes(told, "t8") == ["pool_is_full", "max_active_tasks_reached"]
        assert codes(told, "t100") == ["trigger_rule_unmet", "pool_is_full", "max_active_tasks_reached"]


@pytest.mark.in_process
@pytest.mark.postgres
class TestOnPostgres:
    def test_every_question_can_be_asked(self, rest, new_run):
        states = {
            "first": "deferred",
            "second": "up_for_retry",
            "third": "up_for_reschedule",
            "alone": "scheduled",
        }
        run = new_run("manual", state="running", task_states=states)
        told = explained(rest, run)
        assert told["total_entries"] == 4
        assert codes(told, "first")[0] == "no_triggerer_alive"
        with create_session(scoped=False) as session:
            session.execute(delete(DagRun).where(DagRun.run_id == run.dag_run_id))

    def test_pools_limits_and_the_past(self, rest, new_run):
        from tests.support.seed_runs import day

        begin = day(20)
        before = new_run("etl", state="failed", logical_date=begin, task_states={"check": "failed"})
        run = new_run("etl", state="running", logical_date=begin + timedelta(days=1))
        alter(run, "start", pool="none-such")
        told = explained(rest, run)
        assert "pool_does_not_exist" in codes(told, "start")
        assert "past_not_successful" in codes(told, "check")
        with create_session(scoped=False) as session:
            session.execute(delete(DagRun).where(DagRun.run_id.in_([before.dag_run_id, run.dag_run_id])))
