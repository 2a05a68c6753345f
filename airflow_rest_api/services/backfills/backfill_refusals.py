"""Backfill refusals: why there is no such backfill, why it cannot be changed, and why none is made.

Airflow's own reasons are exceptions of `airflow.models.backfill`; each has its refusal here, with the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from airflow.models import backfill as model

from airflow_rest_api.services import errors

# How many runs a sentence names.
_NAMED = 5


class BackfillNotFound(errors.NotFound):
    """There is no such backfill, or the caller may not read the runs of its DAG."""

    title = "Backfill not found"

    def __init__(self, backfill_id: int) -> None:
        super().__init__(f"There is no backfill {backfill_id}.", backfill_id=backfill_id)


class BackfillIsCompleted(errors.Conflict):
    """The backfill has ended or was cancelled, so it cannot be paused, unpaused or cancelled."""

    title = "The backfill is completed"

    def __init__(self, backfill_id: int) -> None:
        super().__init__(
            f"The backfill {backfill_id} is completed and cannot be changed any more; make a new one for what is left.",
            backfill_id=backfill_id,
        )


class AlreadyRunningBackfill(errors.Conflict):
    """The DAG has a backfill that is not completed; Airflow allows one at a time."""

    title = "A backfill of the DAG is running"

    def __init__(self, dag_id: str, backfill_id: int) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has a backfill that is not completed, {backfill_id}, and may have one at a time; "
            "wait for its end or cancel it.",
            dag_id=dag_id,
            backfill_id=backfill_id,
        )


class RunsWouldBeReprocessed(errors.Conflict):
    """Some tasks are selected, and there are runs that would be cleared as a whole."""

    title = "Existing runs would be reprocessed"

    def __init__(self, dag_id: str, dates: Sequence[str]) -> None:
        more = f" and {len(dates) - _NAMED} more" if len(dates) > _NAMED else ""
        told = ", ".join(f"'{date}'" for date in dates[:_NAMED])
        super().__init__(
            f"The DAG '{dag_id}' has runs for {told}{more}, which would be run again with all their tasks: task_ids "
            "is for new runs alone. Send reprocess_behavior none, or leave task_ids out.",
            dag_id=dag_id,
        )


class BackfillTooLarge(errors.Unprocessable):
    """The dates span more runs than one backfill may have."""

    title = "The backfill is too large"

    def __init__(self, dag_id: str, most: int) -> None:
        super().__init__(
            f"A backfill of the DAG '{dag_id}' between these dates would have more than {most} runs; "
            "divide the dates among several backfills, one after the other.",
            dag_id=dag_id,
            most_runs=most,
        )


class BackfillRunsNotAllowed(errors.Malformed):
    """The DAG's author allows no runs of backfills."""

    title = "Backfills are not allowed"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' allows no runs of backfills (its allowed_run_types).", dag_id=dag_id
        )


class DagNonPeriodicSchedule(errors.Malformed):
    """The DAG has a schedule that tells no dates: none, once, continuous or by assets."""

    title = "The schedule is not periodic"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The schedule of the DAG '{dag_id}' tells no dates to make runs for; "
            "trigger single runs in place of a backfill.",
            dag_id=dag_id,
        )


class InvalidBackfillDateRange(errors.Malformed):
    """The dates are in the wrong order."""

    title = "The dates are in the wrong order"

    def __init__(self, dag_id: str) -> None:
        super().__init__("from_date lies after to_date; send the earlier one as from_date.", dag_id=dag_id)


class InvalidBackfillDate(errors.Malformed):
    """All of the dates lie ahead."""

    title = "The dates lie ahead"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            "from_date and to_date lie ahead; a backfill is for the past, send a from_date before now.",
            dag_id=dag_id,
        )


class BackfillDatesOutOfRange(errors.Malformed):
    """The dates are at the edges of the calendar, where nobody can count from them."""

    title = "The dates are out of range"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            "from_date or to_date is at the edge of the calendar; send dates that runs can have.",
            dag_id=dag_id,
        )


class InvalidBackfillDirection(errors.Malformed):
    """Tasks depend on the past, and the runs would be made backwards."""

    title = "The backfill cannot run backwards"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has tasks that depend on the past (depends_on_past); send run_backwards false.",
            dag_id=dag_id,
        )


class InvalidReprocessBehavior(errors.Malformed):
    """Tasks depend on the past, and runs that are there would be left out."""

    title = "The reprocess behavior does not fit the DAG"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The DAG '{dag_id}' has tasks that depend on the past (depends_on_past); "
            "send reprocess_behavior failed or completed.",
            dag_id=dag_id,
        )


class NoBackfillRunsToCreate(errors.Malformed):
    """The schedule has no date between the dates."""

    title = "There are no runs to make"

    def __init__(self, dag_id: str) -> None:
        super().__init__(
            f"The schedule of the DAG '{dag_id}' has no run between from_date and to_date whose data interval "
            "has ended; create_backfill_dry_run tells the runs of other dates.",
            dag_id=dag_id,
        )


class InvalidBackfillConf(errors.Malformed):
    """The DAG's params do not accept the configuration."""

    title = "The configuration does not fit the DAG's params"


_OURS: Mapping[type[Exception], type[errors.Refusal]] = {
    model.InvalidBackfillDateRange: InvalidBackfillDateRange,
    model.InvalidBackfillDate: InvalidBackfillDate,
    model.InvalidBackfillDirection: InvalidBackfillDirection,
    model.InvalidReprocessBehavior: InvalidReprocessBehavior,
}


@contextmanager
def in_our_words(dag_id: str) -> Iterator[None]:
    """Turn Airflow's exceptions about what a backfill is to be into our refusals of the same names."""
    try:
        yield
    except tuple(_OURS) as fault:
        raise _OURS[type(fault)](dag_id) from fault
    except model.InvalidBackfillConf as fault:
        raise InvalidBackfillConf(str(fault), dag_id=dag_id) from fault
