"""TaskInstance: the operations of `openapi/paths/task_instance.yaml`, `…_try.yaml`, `…_log.yaml`, `…_changes.yaml`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_rest_api.services import kill, task_test
from airflow_rest_api.services import task_instance as service
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.explaining import task_instance_dependencies as dependencies
from airflow_rest_api.services.task_instances import rendered_fields
from airflow_rest_api.services.task_instances import task_instance_bulk as bulk
from airflow_rest_api.services.task_instances import task_instance_changes as changes
from airflow_rest_api.services.task_instances import task_instance_clearing as clearing
from airflow_rest_api.services.task_instances import task_instance_log as logs
from airflow_rest_api.services.task_instances import task_instance_running as running
from airflow_rest_api.services.task_instances import task_instance_skipping as skipping
from airflow_rest_api.services.task_instances import task_instance_try as tries
from airflow_rest_api.services.task_instances.log_following import LogSource

Json = dict[str, Any]


def get_task_instances(dag_id: str, dag_run_id: str, caller: Caller, **query: Any) -> Json:
    """List the task instances of a run."""
    return service.get_task_instances(dag_id, dag_run_id, query=query, caller=caller)


def get_task_instances_batch(body: Json, caller: Caller, **_all: str) -> Json:
    """List task instances by filters in the body."""
    return service.get_task_instances_batch(body, caller=caller)


def get_task_instance(dag_id: str, dag_run_id: str, task_id: str) -> Json:
    """Get a task instance."""
    return service.get_task_instance(dag_id, dag_run_id, task_id)


def get_mapped_task_instances(dag_id: str, dag_run_id: str, task_id: str, **query: Any) -> Json:
    """List the instances of a mapped task."""
    return service.get_mapped_task_instances(dag_id, dag_run_id, task_id, query=query)


def get_mapped_task_instance(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Json:
    """Get an instance of a mapped task."""
    return service.get_mapped_task_instance(dag_id, dag_run_id, task_id, map_index)


def kill_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, caller: Caller, background: Background, **query: Any
) -> Json:
    """Kill a task of a run."""
    return kill.kill_task_instance(
        dag_id, dag_run_id, task_id, query=query, caller=caller, background=background
    )


def get_task_instance_tries(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Json:
    """List the tries of a task instance."""
    return tries.get_task_instance_tries(dag_id, dag_run_id, task_id, map_index)


def get_mapped_task_instance_tries(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Json:
    """List the tries of an instance of a mapped task."""
    return tries.get_task_instance_tries(dag_id, dag_run_id, task_id, map_index)


def get_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, task_try_number: int, map_index: int
) -> Json:
    """Get a try of a task instance."""
    return tries.get_task_instance_try_details(dag_id, dag_run_id, task_id, task_try_number, map_index)


def get_mapped_task_instance_try_details(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int, task_try_number: int
) -> Json:
    """Get a try of an instance of a mapped task."""
    return tries.get_task_instance_try_details(dag_id, dag_run_id, task_id, task_try_number, map_index)


def get_task_instance_dependencies(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> Json:
    """Explain what keeps a task instance from being started."""
    return dependencies.get_task_instance_dependencies(dag_id, dag_run_id, task_id, map_index)


def get_task_instance_dependencies_by_map_index(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int
) -> Json:
    """Explain what keeps an instance of a mapped task from being started."""
    return dependencies.get_task_instance_dependencies(dag_id, dag_run_id, task_id, map_index)


def run_task_instance(
    dag_id: str, dag_run_id: str, task_id: str, map_index: int, caller: Caller, **options: bool
) -> Json:
    """Run one task instance now."""
    return running.run_task_instance(dag_id, dag_run_id, task_id, map_index, caller=caller, **options)


def get_rendered_fields(dag_id: str, dag_run_id: str, task_id: str, caller: Caller, **query: Any) -> Json:
    """Get the rendered fields of a task instance."""
    return rendered_fields.get_rendered_fields(dag_id, dag_run_id, task_id, caller=caller, **query)


def get_log(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    try_number: int,
    media_type: str,
    follow: bool,
    **wishes: Any,
) -> Json | Iterator[bytes] | LogSource:
    """Get the log of a try."""
    path = (dag_id, dag_run_id, task_id, try_number)
    if follow:
        return logs.follow_log(*path, map_index=wishes["map_index"], token=wishes["token"])
    return logs.get_log(*path, media_type=media_type, **wishes)


def bulk_task_instances(dag_id: str, dag_run_id: str, body: Json, caller: Caller) -> Json:
    """Change or delete many task instances."""
    return bulk.bulk_task_instances(dag_id, dag_run_id, body=body, caller=caller)


def patch_task_instance(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int | None,
    *,
    update_mask: list[str] | None,
    body: Json,
    caller: Caller,
) -> Json:
    """Change the state or the note of a task's instances."""
    place = changes.Place(dag_id, dag_run_id, task_id, map_index)
    return changes.patch_task_instance(place, update_mask=update_mask, body=body, caller=caller)


def patch_task_instance_by_map_index(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int,
    *,
    update_mask: list[str] | None,
    body: Json,
    caller: Caller,
) -> Json:
    """Change the state or the note of an instance of a mapped task."""
    place = changes.Place(dag_id, dag_run_id, task_id, map_index)
    return changes.patch_task_instance(place, update_mask=update_mask, body=body, caller=caller)


def patch_task_instance_dry_run(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int | None,
    *,
    update_mask: list[str] | None,
    body: Json,
    caller: Caller,
) -> Json:
    """Tell which task instances a change would set."""
    place = changes.Place(dag_id, dag_run_id, task_id, map_index)
    return changes.patch_task_instance_dry_run(place, update_mask=update_mask, body=body, caller=caller)


def patch_task_instance_dry_run_by_map_index(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int,
    *,
    update_mask: list[str] | None,
    body: Json,
    caller: Caller,
) -> Json:
    """Tell which task instances a change of one index would set."""
    place = changes.Place(dag_id, dag_run_id, task_id, map_index)
    return changes.patch_task_instance_dry_run(place, update_mask=update_mask, body=body, caller=caller)


def delete_task_instance(dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> None:
    """Delete a task instance."""
    changes.delete_task_instance(dag_id, dag_run_id, task_id, map_index)


def post_clear_task_instances(dag_id: str, body: Json, caller: Caller) -> Json:
    """Clear task instances so that they run again."""
    return clearing.post_clear_task_instances(dag_id, body=body, caller=caller)


def skip_task_instance(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    map_index: int | None,
    *,
    downstream: bool,
    states: list[str],
    dry_run: bool,
) -> Json:
    """Skip a task of a run."""
    place = changes.Place(dag_id, dag_run_id, task_id, map_index)
    return skipping.skip_task_instance(place, downstream=downstream, states=states, dry_run=dry_run)


def test_task(
    dag_id: str, task_id: str, body: Json, caller: Caller, background: Background, **query: Any
) -> Json:
    """Test a task."""
    return task_test.test_task(dag_id, task_id, body=body, caller=caller, background=background, **query)
