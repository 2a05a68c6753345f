"""Tasks: what is done in the forks of the child, each the process of one task as a worker has it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import IO, Any

from airflow.dag_processing.bundles.base import BundleVersionLock
from airflow.sdk._shared.module_loading import import_string
from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import CommsDecoder, ToSupervisor, ToTask
from airflow.sdk.serde import deserialize, serialize

from airflow_rest_api.sandbox.child import kernel

Target = Callable[[], None]
NOT_FOUND, NOT_RENDERED = "not found", "not rendered"


class Notes:
    """What a fork leaves to the process that it comes from; a file, so that neither has to wait for the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, **what: Any) -> None:
        """Note something down, in place of what was noted before."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(what).encode())
        self._file.flush()

    def read(self) -> dict[str, Any]:
        """Return what was noted down, if anything was; whoever wrote it ran the code of the DAG."""
        self._file.seek(0)
        try:
            found = json.loads(self._file.read() or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def in_fork(target: Target, closed: tuple[int, ...]) -> Target:
    """Let a target end with the process that it is forked from, without the descriptors that are not its own."""

    def work() -> None:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in closed:
            os.close(descriptor)
        target()

    return work


def run(params: Mapping[str, Any], conf: Any, notes: Notes) -> Target:
    """Run the task as a worker does, with further params; ``conf`` is that of the run."""

    def target() -> None:
        known = task_runner.parse

        def parse(details: Any, *given: Any) -> Any:
            _restore(conf, details)
            try:
                instance = known(details, *given)
            except SystemExit:
                notes.write(fault=NOT_FOUND)
                raise
            _add(params, instance.task)
            return instance

        task_runner.parse = parse
        task_runner.main()

    return target


def without_conf(context: Any) -> Any:
    """Return a copy of a task's context without the `conf` of its run.

    Airflow's supervisor sends the context to the task as MessagePack, which has no integers beyond 64 bits. The fork
    has the `conf` in its memory instead.
    """
    return context.model_copy(update={"dag_run": context.dag_run.model_copy(update={"conf": {}})})


def _restore(conf: Any, details: Any) -> None:
    details.ti_context.dag_run.conf = conf


def _add(params: Mapping[str, Any], task: Any) -> None:
    if params:
        task.params.update(params)
    if isinstance(task.params, ParamsDict):
        task.params.validate()


def render(conf: Any, notes: Notes) -> Target:
    """Render the fields of the task as a worker does before it runs it, note them, and go no further."""

    def target() -> None:
        try:
            instance = _parsed(conf)
        except SystemExit:
            notes.write(fault=NOT_FOUND)
            raise
        try:
            fields = _rendered(instance)
        except Exception as fault:
            notes.write(fault=NOT_RENDERED, type=type(fault).__name__, sentence=str(fault))
            raise
        notes.write(fields=fields)

    return target


def _rendered(instance: Any) -> dict[str, Any]:
    context = instance.get_template_context()
    instance.task = instance.task.prepare_for_execution()
    context["task"] = instance.task
    instance.render_templates(context=context, jinja_env=instance.task.dag.get_template_env())
    return dict(task_runner._serialize_rendered_fields(instance.task))


def await_trigger(deferred: Any, conf: Any, notes: Notes) -> Target:
    """Wait for the trigger that a task was deferred for, which a triggerer would do."""

    def target() -> None:
        _parsed(conf)
        given: Any = deserialize(deferred.trigger_kwargs)
        trigger = import_string(deferred.classpath)(**given)
        event = asyncio.run(_first(trigger))
        if event is not None:
            state = getattr(event, "task_instance_state", None)
            notes.write(event=serialize(event.payload), state=state and str(state.value))

    return target


async def _first(trigger: Any) -> Any:
    return await anext(trigger.run(), None)


def _parsed(conf: Any) -> Any:
    """Return the task's instance with the task of its file; who is impersonated to run it, is not needed for less."""
    task_runner.SUPERVISOR_COMMS = CommsDecoder[ToTask, ToSupervisor](log=task_runner.log)
    details = task_runner.get_startup_details()
    _restore(conf, details)
    with _airflow_parsing_context_manager(dag_id=details.ti.dag_id, task_id=details.ti.task_id):
        instance = task_runner.parse(details, task_runner.log)
    bundle = instance.bundle_instance
    # Kept open until the process ends.
    BundleVersionLock(bundle_name=bundle.name, bundle_version=bundle.version).__enter__()
    return instance
