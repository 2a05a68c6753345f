"""Removed names: what Airflow 2 had and Airflow 3 has not, and what to write instead.

The facts are those of Airflow's upgrade guide and of the rules AIR301 and AIR302 of ruff.
"""

from __future__ import annotations

import re

_STANDARD = "airflow.providers.standard"
# Modules, and what replaces them; a module below one of these counts as well.
MODULES = {
    "airflow.api.common.experimental": "the REST API",
    "airflow.contrib": "the provider's own package, 'airflow.providers.…'",
    "airflow.datasets": "'Asset' of 'airflow.sdk'",
    "airflow.executors.celery_executor": "'airflow.providers.celery.executors.celery_executor'",
    "airflow.hooks.S3_hook": "'airflow.providers.amazon.aws.hooks.s3'",
    "airflow.hooks.base_hook": "'BaseHook' of 'airflow.sdk'",
    "airflow.hooks.dbapi": "'airflow.providers.common.sql.hooks.sql'",
    "airflow.hooks.dbapi_hook": "'airflow.providers.common.sql.hooks.sql'",
    "airflow.hooks.http_hook": "'airflow.providers.http.hooks.http'",
    "airflow.hooks.mysql_hook": "'airflow.providers.mysql.hooks.mysql'",
    "airflow.hooks.postgres_hook": "'airflow.providers.postgres.hooks.postgres'",
    "airflow.kubernetes": "'airflow.providers.cncf.kubernetes'",
    "airflow.models.dagparam": "'DagParam' of 'airflow.sdk.definitions.param'",
    "airflow.models.mappedoperator": "'MappedOperator' of 'airflow.sdk.definitions.mappedoperator'",
    "airflow.operators.bash": f"'{_STANDARD}.operators.bash'",
    "airflow.operators.bash_operator": f"'{_STANDARD}.operators.bash'",
    "airflow.operators.branch": "'BaseBranchOperator' of 'airflow.sdk.bases.branch'",
    "airflow.operators.branch_operator": "'BaseBranchOperator' of 'airflow.sdk.bases.branch'",
    "airflow.operators.dagrun_operator": f"'{_STANDARD}.operators.trigger_dagrun'",
    "airflow.operators.datetime": f"'{_STANDARD}.operators.datetime'",
    "airflow.operators.docker_operator": "'airflow.providers.docker.operators.docker'",
    "airflow.operators.dummy": f"'EmptyOperator' of '{_STANDARD}.operators.empty'",
    "airflow.operators.dummy_operator": f"'EmptyOperator' of '{_STANDARD}.operators.empty'",
    "airflow.operators.email": "'EmailOperator' of 'airflow.providers.smtp.operators.smtp'",
    "airflow.operators.email_operator": "'EmailOperator' of 'airflow.providers.smtp.operators.smtp'",
    "airflow.operators.empty": f"'{_STANDARD}.operators.empty'",
    "airflow.operators.hive_operator": "'airflow.providers.apache.hive.operators.hive'",
    "airflow.operators.http_operator": "'HttpOperator' of 'airflow.providers.http.operators.http'",
    "airflow.operators.latest_only": f"'{_STANDARD}.operators.latest_only'",
    "airflow.operators.latest_only_operator": f"'{_STANDARD}.operators.latest_only'",
    "airflow.operators.mysql_operator": (
        "'SQLExecuteQueryOperator' of 'airflow.providers.common.sql.operators.sql'"
    ),
    "airflow.operators.postgres_operator": (
        "'SQLExecuteQueryOperator' of 'airflow.providers.common.sql.operators.sql'"
    ),
    "airflow.operators.python": f"'{_STANDARD}.operators.python'",
    "airflow.operators.python_operator": f"'{_STANDARD}.operators.python'",
    "airflow.operators.slack_operator": "'airflow.providers.slack.operators.slack'",
    "airflow.operators.sql": "'airflow.providers.common.sql.operators.sql'",
    "airflow.operators.sqlite_operator": (
        "'SQLExecuteQueryOperator' of 'airflow.providers.common.sql.operators.sql'"
    ),
    "airflow.operators.subdag": "'TaskGroup' of 'airflow.sdk'",
    "airflow.operators.subdag_operator": "'TaskGroup' of 'airflow.sdk'",
    "airflow.operators.trigger_dagrun": f"'{_STANDARD}.operators.trigger_dagrun'",
    "airflow.operators.weekday": f"'{_STANDARD}.operators.weekday'",
    "airflow.sensors.base_sensor_operator": "'BaseSensorOperator' of 'airflow.sdk'",
    "airflow.sensors.bash": f"'{_STANDARD}.sensors.bash'",
    "airflow.sensors.date_time": f"'{_STANDARD}.sensors.date_time'",
    "airflow.sensors.date_time_sensor": f"'{_STANDARD}.sensors.date_time'",
    "airflow.sensors.external_task": f"'{_STANDARD}.sensors.external_task'",
    "airflow.sensors.external_task_sensor": f"'{_STANDARD}.sensors.external_task'",
    "airflow.sensors.filesystem": f"'{_STANDARD}.sensors.filesystem'",
    "airflow.sensors.http_sensor": "'airflow.providers.http.sensors.http'",
    "airflow.sensors.python": f"'{_STANDARD}.sensors.python'",
    "airflow.sensors.s3_key_sensor": "'airflow.providers.amazon.aws.sensors.s3'",
    "airflow.sensors.sql": "'airflow.providers.common.sql.sensors.sql'",
    "airflow.sensors.sql_sensor": "'airflow.providers.common.sql.sensors.sql'",
    "airflow.sensors.time_delta": f"'{_STANDARD}.sensors.time_delta'",
    "airflow.sensors.time_delta_sensor": f"'{_STANDARD}.sensors.time_delta'",
    "airflow.sensors.time_sensor": f"'{_STANDARD}.sensors.time'",
    "airflow.sensors.weekday": f"'{_STANDARD}.sensors.weekday'",
    "airflow.subdag": "'TaskGroup' of 'airflow.sdk'",
    "airflow.timetables.datasets": "'AssetOrTimeSchedule' of 'airflow.timetables.assets'",
    "airflow.utils.apply_defaults": "Remove it: operators apply 'default_args' by themselves",
    "airflow.utils.log.secrets_masker": "'mask_secret' of 'airflow.sdk.log'",
    "airflow.utils.weekday": f"'{_STANDARD}.utils.weekday'",
    "airflow.www": "the REST API",
}
# Names within modules that still exist.
NAMES = {
    "airflow.configuration.get": "'conf.get'",
    "airflow.configuration.getboolean": "'conf.getboolean'",
    "airflow.configuration.getfloat": "'conf.getfloat'",
    "airflow.configuration.getint": "'conf.getint'",
    "airflow.timetables.simple.DatasetTriggeredTimetable": (
        "'AssetTriggeredTimetable' of 'airflow.timetables.simple'"
    ),
    "airflow.utils.dates.date_range": "'pendulum.interval'",
    "airflow.utils.dates.days_ago": "a fixed date, such as 'pendulum.datetime(2025, 1, 1)'",
    "airflow.utils.db.create_session": "the Airflow Python client: tasks have no access to the database",
    "airflow.utils.decorators.apply_defaults": "Remove it: operators apply 'default_args' by themselves",
    "airflow.utils.file.TemporaryDirectory": "'tempfile.TemporaryDirectory'",
    "airflow.utils.file.mkdirs": "'pathlib.Path.mkdir'",
    "airflow.utils.helpers.chain": "'chain' of 'airflow.sdk'",
    "airflow.utils.helpers.cross_downstream": "'cross_downstream' of 'airflow.sdk'",
}
# Parameters of DAGs and operators.
PARAMETERS = {
    "concurrency": "'max_active_tasks'",
    "default_view": "Remove it: the parameter has no successor",
    "fail_stop": "'fail_fast'",
    "orientation": "Remove it: the parameter has no successor",
    "provide_context": "Remove it: the context is always provided",
    "schedule_interval": "'schedule'",
    "task_concurrency": "'max_active_tis_per_dag'",
    "timetable": "'schedule'",
    "xcom_push": "'do_xcom_push'",
}
# Variables of templates, which are keys of a task's context as well.
CONTEXT = {
    "execution_date": "'logical_date'",
    "next_ds": "'data_interval_end | ds'",
    "next_ds_nodash": "'data_interval_end | ds_nodash'",
    "next_execution_date": "'data_interval_end'",
    "prev_ds": "'prev_data_interval_start_success | ds'",
    "prev_ds_nodash": "'prev_data_interval_start_success | ds_nodash'",
    "prev_execution_date": "'prev_data_interval_start_success'",
    "prev_execution_date_success": "'prev_data_interval_start_success'",
    "tomorrow_ds": "'macros.ds_add(ds, 1)'",
    "tomorrow_ds_nodash": "'macros.ds_add(ds, 1)'",
    "triggering_dataset_events": "'triggering_asset_events'",
    "yesterday_ds": "'macros.ds_add(ds, -1)'",
    "yesterday_ds_nodash": "'macros.ds_add(ds, -1)'",
}
_NO_MODULE = re.compile(r"No module named '(airflow\.[\w.]+)'")
_NO_NAME = re.compile(r"cannot import name '(\w+)' from '(airflow[\w.]*)'")
_NO_ATTRIBUTE = re.compile(r"module '(airflow[\w.]*)' has no attribute '(\w+)'")
_NO_PARAMETER = re.compile(r"got an unexpected keyword argument '(\w+)'")
_INVALID = re.compile(r"Invalid arguments were passed to .*\*\*kwargs: (.*)", re.DOTALL)


def advice(message: str) -> str | None:
    """Return what to write instead of the name of Airflow 2 that an exception is about, None for other exceptions."""
    found = _found(message)
    if found is None:
        return None
    return _sentence(*found)


def of_context(name: str) -> str:
    """Return what to write instead of a variable of templates."""
    return _sentence(name, CONTEXT[name])


def _sentence(name: str, successor: str) -> str:
    step = successor if successor.startswith("Remove it") else f"Use {successor} instead"
    return f"Airflow 3 has removed '{name}'. {step}."


def _found(message: str) -> tuple[str, str] | None:
    if match := _NO_MODULE.search(message):
        return _module(match[1])
    if match := _NO_NAME.search(message):
        return _name(match[2], match[1])
    if match := _NO_ATTRIBUTE.search(message):
        return _name(match[1], match[2])
    if match := _NO_PARAMETER.search(message):
        return _parameter(match[1])
    if match := _INVALID.search(message):
        passed = (_parameter(name) for name in re.findall(r"'(\w+)':", match[1]))
        return next((found for found in passed if found), None)
    return None


def _module(name: str) -> tuple[str, str] | None:
    while name:
        if name in MODULES:
            return name, MODULES[name]
        name = name.rpartition(".")[0]
    return None


def _name(module: str, name: str) -> tuple[str, str] | None:
    full = f"{module}.{name}"
    return (full, NAMES[full]) if full in NAMES else _module(module)


def _parameter(name: str) -> tuple[str, str] | None:
    return (name, PARAMETERS[name]) if name in PARAMETERS else None
