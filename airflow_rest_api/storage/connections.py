"""The pool of connections to Airflow's metadata database."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from airflow import settings
from airflow.configuration import conf
from sqlalchemy.pool import QueuePool

_SIZE, _OVERFLOW = "sql_alchemy_pool_size", "sql_alchemy_max_overflow"


def keep_open() -> None:
    """Let the pool of this process keep all connections that it may open, in place of closing those beyond its size.

    Airflow keeps 5 and opens up to 10 more, each for one use: with more than 5 requests at work a new connection
    is made for almost every one, which takes longer than most requests. The number that may be open at the same
    time stays what the administrator set. For a process of our own only; Airflow's API server has its own ways.
    """
    if settings.engine is None or not isinstance(settings.engine.pool, QueuePool):
        return
    size, overflow = conf.getint("database", _SIZE), conf.getint("database", _OVERFLOW)
    if size <= 0 or overflow <= 0:
        return
    settings.dispose_orm(do_log=False)
    with _environment({_SIZE: str(size + overflow), _OVERFLOW: "0"}):
        settings.configure_orm()


@contextmanager
def _environment(options: Mapping[str, str]) -> Iterator[None]:
    """Set options of `[database]` where nothing wins over them, for as long as the pool is made."""
    names = {f"AIRFLOW__DATABASE__{option.upper()}": value for option, value in options.items()}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
