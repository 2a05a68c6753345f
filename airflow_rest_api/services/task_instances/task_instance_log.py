"""Logs of task instances, read through Airflow's own reader: from files, workers, or wherever it is configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.configuration import conf
from airflow.exceptions import TaskNotFound
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.trigger import Trigger
from airflow.utils.log.log_reader import TaskLogReader
from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from airflow_rest_api.services import errors
from airflow_rest_api.services.database import reading
from airflow_rest_api.services.task_instances import log_following
from airflow_rest_api.services.task_instances import task_instance_place as place
from airflow_rest_api.services.task_instances.log_following import LogSource
from airflow_rest_api.services.task_instances.log_pieces import Pieces
from airflow_rest_api.services.task_instances.task_instance_try import TryNotFound

NDJSON = "application/x-ndjson"
Try = TaskInstance | TaskInstanceHistory


class InvalidLogToken(errors.Malformed):
    """The continuation token was not made by this service or by Airflow."""

    title = "The continuation token is not valid"

    def __init__(self) -> None:
        super().__init__(
            "The token was not made by this API; take the continuation_token of an answer, or none."
        )


class LogsNotReadable(errors.Malformed):
    """Airflow is configured with a log handler that cannot read."""

    title = "Logs cannot be read"

    def __init__(self) -> None:
        super().__init__("The log handler that Airflow is configured with does not support reading.")


def get_log(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    try_number: int,
    *,
    map_index: int = -1,
    full_content: bool = False,
    token: str | None = None,
    media_type: str = "application/json",
) -> dict[str, Any] | Iterator[bytes]:
    """Return the log of one try: from the place of the ``token`` on, or as lines of JSON, always the whole.

    The database is left before the log is read, because reading may take long and uses connections of its own.
    Raises `TryNotFound`, `InvalidLogToken` and `LogsNotReadable`.
    """
    metadata = _metadata(token, full_content=full_content)
    reader = _reader()
    found = _detached((dag_id, dag_run_id, task_id, map_index), try_number)
    if found is None:
        raise TryNotFound(task_id, map_index, try_number)
    if media_type == NDJSON:
        return _chunks(reader.read_log_stream(found, try_number, metadata))
    messages, place_now = reader.read_log_chunks(found, try_number, metadata)
    return {
        "content": [message.model_dump(mode="json", exclude_unset=True) for message in messages],
        "continuation_token": None if place_now.get("end_of_log") else _serializer().dumps(place_now),
    }


def follow_log(
    dag_id: str,
    dag_run_id: str,
    task_id: str,
    try_number: int,
    *,
    map_index: int = -1,
    token: str | None = None,
) -> LogSource:
    """Return the log of one try, or of the one that comes next, as a source of lines until the try has ended.

    Raises `TryNotFound`, `InvalidLogToken` and `LogsNotReadable`.
    """
    already = _metadata(token, full_content=False).get("log_pos")
    reader, key = _reader(), (dag_id, dag_run_id, task_id, map_index)
    find = partial(_detached, key, try_number)
    present = log_following.present([key]).get(key)
    source = LogSource(key, try_number, Pieces(reader, try_number, find, already=already or 0), present)
    if try_number == 0 or (not source.may_come() and find() is None):
        raise TryNotFound(task_id, map_index, try_number)
    return source


def _reader() -> TaskLogReader:
    reader = TaskLogReader()
    if not reader.supports_read:
        raise LogsNotReadable
    return reader


def _detached(key: log_following.Key, try_number: int) -> Try | None:
    """Return the try with all that the readers of logs ask of it, without a session."""
    with reading() as session:
        found = _find(session, *key, try_number)
        if found is not None:
            _attach_task(session, found)
            session.expunge_all()
    return found


def _metadata(token: str | None, *, full_content: bool) -> Any:
    metadata: dict[str, Any] = {}
    if token:
        try:
            metadata = dict(_serializer().loads(token))
        except (BadSignature, TypeError, ValueError) as fault:
            raise InvalidLogToken from fault
    return {**metadata, "download_logs": bool(metadata.get("download_logs")) or full_content}


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(get_signing_key("api", "secret_key"))


def _find(
    session: Session, dag_id: str, dag_run_id: str, task_id: str, map_index: int, try_number: int
) -> Try | None:
    key = {"dag_id": dag_id, "run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
    present = (
        select(TaskInstance)
        .filter_by(**key, try_number=try_number)
        .options(
            joinedload(TaskInstance.trigger).joinedload(Trigger.triggerer_job),
            joinedload(TaskInstance.dag_model),
            joinedload(TaskInstance.dag_run),
        )
    )
    earlier = (
        select(TaskInstanceHistory)
        .filter_by(**key, try_number=try_number)
        .options(joinedload(TaskInstanceHistory.dag_run))
    )
    found: Try | None = session.scalar(present) or session.scalar(earlier)
    return found


def _attach_task(session: Session, found: Try) -> None:
    """Give the try its task, of which the readers of logs want to know whether it is an empty operator."""
    with suppress(errors.NotFound, TaskNotFound):
        dag = place.structure_for_scheduling(session, found.dag_id, found.run_id)
        found.task = dag.get_task(found.task_id)


def _chunks(lines: Iterator[str]) -> Iterator[bytes]:
    size = conf.getint("api", "log_stream_buffer_size")
    while chunk := "".join(islice(lines, size)):
        yield chunk.encode()
