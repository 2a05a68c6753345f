"""What task instances wait for upstream: the same verdict as Airflow's own dependency, whatever the states are."""

from __future__ import annotations

import random

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
from airflow.ti_deps.deps.trigger_rule_dep import TriggerRuleDep
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_rest_api.services.dags import structure
from airflow_rest_api.services.explaining.explanation_upstream import Past, Upstreams

pytestmark = [pytest.mark.in_process, pytest.mark.usefixtures("restored_database")]

RULES = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.task.trigger_rule import TriggerRule

with DAG("rules", schedule=None):
    a, b, c = (EmptyOperator(task_id=name) for name in "abc")
    for rule in TriggerRule:
        if rule.value != "all_done_setup_success":
            [a, b, c] >> EmptyOperator(task_id=rule.value, trigger_rule=rule)
"""

SETUPS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("setups", schedule=None):
    up, other, down = (EmptyOperator(task_id=name) for name in ("up", "other", "down"))
    work, more, last = (EmptyOperator(task_id=name) for name in ("work", "more", "last"))
    up >> work >> more >> down.as_teardown(setups=up)
    other.as_setup() >> work
    more >> last
    up >> last
"""

GROUPS = """
from airflow.sdk import dag, task, task_group

@dag("groups", schedule=None)
def groups():
    @task
    def feed():
        return [1, 2, 3]

    @task
    def before():
        return 1

    @task
    def one(x):
        return x

    @task(trigger_rule="{rule}")
    def two(x):
        return x

    @task
    def after(x):
        return x

    @task_group
    def pair(x):
        first = one(x)
        second = two(first)
        before_ >> second
        return second

    before_ = before()
    after(pair.expand(x={feed}))

groups()
"""
STATES = ["success", "failed", "skipped", "upstream_failed", "removed", "running", None]


def verdicts(run, dep):
    """By task and map index: whether Airflow lets it go on, and what is told in its place."""
    with create_session(scoped=False) as session:
        dag = structure.latest(run.dag_id, session)
        number = session.scalar(select(DagRun.id).filter_by(dag_id=run.dag_id, run_id=run.dag_run_id))
        instances = session.scalars(select(TaskInstance).filter_by(dag_id=run.dag_id, run_id=run.dag_run_id))
        every = list(instances)
        upstreams = Upstreams(dag, [(one.task_id, one.map_index, one.state) for one in every])
        past = Past(session, dag, number)
        context = DepContext()
        found = {}
        for one in every:
            one.task = dag.get_task(one.task_id)
            allowed = dep.is_met(one, context, session=session)
            ours = (
                upstreams.causes(one.task_id, one.map_index)
                if isinstance(dep, TriggerRuleDep)
                else list(past.causes(one.task_id))
            )
            found[one.task_id, one.map_index] = (allowed, ours)
        session.rollback()
    return found


def scatter(run, chance):
    """Give the instances of a run any states, now of all of them and now of few, or hardly any rule would be met."""
    states = chance.sample(STATES, chance.choice([1, 2, len(STATES)]))
    with create_session(scoped=False) as session:
        for one in session.scalars(select(TaskInstance).filter_by(run_id=run.dag_run_id)):
            one.state = chance.choice(states)


def agree(run, dep, rounds, seed):
    chance, seen = random.Random(seed), set()
    for _ in range(rounds):
        scatter(run, chance)
        for name, (allowed, ours) in verdicts(run, dep).items():
            assert allowed == (not ours), (name, ours)
            seen.add((name[0], allowed))
    return seen


def test_every_rule_is_decided_as_airflow_does(parse, new_run):
    parse(RULES)
    seen = agree(new_run("rules", state="running"), TriggerRuleDep(), rounds=60, seed=1)
    rules = {name for name, _ in seen} - {"a", "b", "c"}
    assert len(rules) >= 12
    assert all((rule, True) in seen and (rule, False) in seen for rule in rules - {"always"})


def test_setups_and_teardowns_are_decided_as_airflow_does(parse, new_run):
    parse(SETUPS)
    seen = agree(new_run("setups", state="running"), TriggerRuleDep(), rounds=80, seed=2)
    assert {("last", True), ("last", False), ("down", True), ("down", False), ("more", False)} <= seen


@pytest.mark.parametrize("rule", ["all_success", "one_success", "all_done", "none_failed_min_one_success"])
@pytest.mark.parametrize("expanded", [True, False])
def test_mapped_groups_are_decided_as_airflow_does(parse, new_run, rule, expanded):
    parse(GROUPS.replace("{rule}", rule).replace("{feed}", "[1, 2, 3]" if expanded else "feed()"))
    run = new_run("groups", state="running")
    seen = agree(run, TriggerRuleDep(), rounds=25, seed=3)
    assert ("pair.two", True) in seen
    assert ("pair.two", False) in seen


def test_a_cause_names_what_is_in_the_way(parse, new_run):
    parse(RULES)
    run = new_run("rules", state="running", task_states={"a": "success", "b": "running", "c": "failed"})
    (cause,) = verdicts(run, TriggerRuleDep())["all_success", -1][1]
    assert cause.code == "trigger_rule_unmet"
    assert cause.detail == "The trigger rule 'all_success' is not met: 'b' is running, 'c' is failed."
    assert cause.facts == {
        "trigger_rule": "all_success",
        "upstream": [
            {"task_id": "b", "state": "running", "count": 1},
            {"task_id": "c", "state": "failed", "count": 1},
        ],
        "left_out": 0,
    }


PAST = """
from datetime import datetime, timezone
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG("past", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup={catchup}):
    EmptyOperator(task_id="plain")
    depends = EmptyOperator(task_id="depends", depends_on_past=True)
    waits = EmptyOperator(task_id="waits", depends_on_past=True, wait_for_downstream=True)
    late = EmptyOperator(
        task_id="late", depends_on_past=True, start_date=datetime(2026, 1, 6, tzinfo=timezone.utc)
    )
    lenient = EmptyOperator(task_id="lenient", depends_on_past=True, ignore_first_depends_on_past=True)
    strict = EmptyOperator(task_id="strict", depends_on_past=True, ignore_first_depends_on_past=False)
    waits >> EmptyOperator(task_id="after")
"""


@pytest.mark.parametrize("catchup", [True, False])
def test_the_past_is_decided_as_airflow_does(parse, new_run, catchup):
    from tests.support.seed_runs import day

    parse(PAST.replace("{catchup}", str(catchup)))
    chance, seen = random.Random(4), set()
    before = new_run(
        "past", state="success", run_id="scheduled__2026-01-05T00:00:00+00:00", logical_date=day(5)
    )
    new_run("past", state="success", run_id="manual__between", logical_date=day(5, 12))
    run = new_run("past", state="running", run_id="scheduled__2026-01-06T00:00:00+00:00", logical_date=day(6))
    for number in range(40):
        scatter(before, chance)
        if number == 30:
            # From now on nobody has run these before.
            with create_session(scoped=False) as session:
                session.query(TaskInstance).filter(
                    TaskInstance.task_id.in_(["lenient", "strict"]),
                    TaskInstance.run_id != run.dag_run_id,
                ).delete()
        for name, (allowed, ours) in verdicts(run, PrevDagrunDep()).items():
            assert allowed == (not ours), (name, ours)
            seen |= {(name[0], cause.code) for cause in ours}
    told = {code for _, code in seen}
    assert told >= {"past_not_run", "past_not_successful"}
    assert ("waits", "past_downstream_not_successful") in seen or not catchup
    assert not any(name == "plain" for name, _ in seen)


def test_a_run_without_a_date_has_no_past(parse, new_run):
    parse(PAST.replace("{catchup}", "False"))
    run = new_run("past", state="running")
    assert all(allowed and not ours for allowed, ours in verdicts(run, PrevDagrunDep()).values())
