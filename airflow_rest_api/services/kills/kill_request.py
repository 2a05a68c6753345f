"""Kill requests: what an operation that follows a kill has to know, written down before the kill is committed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.configuration import conf
from airflow.utils.net import get_hostname

from airflow_rest_api.services.kills import kill_following, killing, task_processes
from airflow_rest_api.services.kills.killing import Killed, RunName, Victim
from airflow_rest_api.services.kills.task_processes import Sight
from airflow_rest_api.supervision import processes

Entry = dict[str, Any]

# Airflow's supervisor sends SIGTERM when its heartbeat is refused, and SIGKILL so many seconds later
# (`airflow.sdk.execution_time.supervisor`); its clock may miss one heartbeat narrowly, so there are two to wait for.
HEARTBEATS = 2
GRACE_SECONDS = 5.0
# For the kernel, a loaded machine, and the reading of what the task last said.
SLACK_SECONDS = 5.0
# How many of Airflow's own timeouts of a heartbeat a task has to be silent on another host.
SILENT_TIMEOUTS = 3


def of(killed: Mapping[RunName, Killed], *, is_by_run: bool) -> Entry:
    """Return what the operation has to know, for whatever process carries it out, on whatever host.

    Written down while the kill is not committed: until then everything that came of a task is still there.
    """
    now = datetime.now(timezone.utc)
    victims = [victim for of_run in killed.values() for victim in of_run.victims]
    place, host = processes.place(), get_hostname()
    is_here = place is not None and any(victim.instance.hostname == host for victim in victims)
    sight = Sight() if is_here else None
    runs = [
        {
            "dag_id": dag_id,
            "dag_run_id": dag_run_id,
            "former_state": of_run.former_run_state,
            "killed": len(of_run.victims),
            "teardowns_left": list(of_run.left_running),
        }
        for (dag_id, dag_run_id), of_run in killed.items()
    ]
    tasks = [_facts(victim, host, sight, now) for victim in victims]
    return {
        "place": place,
        "requested_at": now.isoformat(),
        "heartbeat_seconds": conf.getint("workers", "min_heartbeat_interval"),
        "runs": runs,
        "is_by_run": is_by_run,
        # Of many runs, what never had a process is counted and not listed.
        "tasks": [facts for facts in tasks if not is_by_run or facts["proof"] != kill_following.NEVER],
    }


def _facts(victim: Victim, host: str, sight: Sight | None, now: datetime) -> Entry:
    instance = victim.instance
    is_here = sight is not None and instance.hostname == host
    trace = _trace(victim, sight) if is_here and sight is not None else None
    proof = _proof(victim, has_trace=trace is not None)
    has_process = proof in (kill_following.HERE, kill_following.ELSEWHERE)
    heard = instance.last_heartbeat_at if has_process else None
    return {
        "dag_id": instance.dag_id,
        "dag_run_id": instance.run_id,
        "task_id": instance.task_id,
        "map_index": instance.map_index,
        "try_number": instance.try_number,
        "former_state": victim.former_state,
        "instance_id": str(instance.id),
        "pid": instance.pid if has_process else None,
        "hostname": instance.hostname or None if has_process else None,
        "is_host_ours": is_here,
        "last_heartbeat_at": heard and heard.isoformat(),
        "deadline": _deadline(proof, heard, now),
        "proof": proof,
        "trace": trace and trace.as_json(),
    }


def _trace(victim: Victim, sight: Sight) -> task_processes.Trace | None:
    instance = victim.instance
    variables = (instance.dag_id, instance.run_id, instance.task_id, str(instance.try_number))
    is_mapped = instance.map_index != -1
    return task_processes.find(sight, str(instance.id), instance.pid, variables, is_mapped=is_mapped)


def _proof(victim: Victim, *, has_trace: bool) -> str:
    """Return what there is to follow; one that was put off, or is to be tried again, may still be ending."""
    if has_trace:
        return kill_following.HERE
    if victim.former_state in (killing.RUNNING, killing.RESTARTING):
        return kill_following.ELSEWHERE
    return kill_following.UNSTARTED if victim.former_state == killing.QUEUED else kill_following.NEVER


def _deadline(proof: str, heard: datetime | None, now: datetime) -> str | None:
    """Return until when to follow: what is here is ended by then if its supervisor does what it should."""
    if proof == kill_following.HERE:
        interval = conf.getint("workers", "min_heartbeat_interval")
        return (now + timedelta(seconds=HEARTBEATS * interval + GRACE_SECONDS + SLACK_SECONDS)).isoformat()
    if proof == kill_following.ELSEWHERE:
        timeout = conf.getint("scheduler", "task_instance_heartbeat_timeout")
        return ((heard or now) + timedelta(seconds=SILENT_TIMEOUTS * timeout)).isoformat()
    return None
