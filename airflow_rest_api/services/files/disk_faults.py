"""Disk faults: what the operating system says about a file, as a refusal that tells no path of this machine."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_rest_api.services import errors

log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskFull(errors.InsufficientStorage):
    """There is no room for what is to be written."""

    title = "There is no room left"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no room for '{name}'; nothing was changed.", name=name)


class NameTooLong(errors.Malformed):
    """The file system takes no name of this length."""

    title = "The name is too long"

    def __init__(self, name: str) -> None:
        super().__init__(f"The file system takes no name as long as '{name[:80]}'.")


class DiskUnavailable(errors.Unavailable):
    """The disk refuses to write or read, for a reason that an administrator has to mend."""

    title = "The disk is unavailable"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The disk refused to take or give '{name}'; the log of the service knows more.", retry_after=5
        )


def refusal_of(fault: OSError, name: str) -> errors.Refusal:
    """Return the refusal for a fault of the disk at the file that the caller knows as ``name``."""
    if fault.errno in _FULL:
        return DiskFull(name)
    if fault.errno == errno.ENAMETOOLONG:
        return NameTooLong(name)
    log.error("The disk refused '%s': %s", name, fault)
    return DiskUnavailable(name)


@contextmanager
def told(name: str) -> Iterator[None]:
    """Raise the refusal for a fault of the disk inside, at the file that the caller knows as ``name``."""
    try:
        yield
    except OSError as fault:
        raise refusal_of(fault, name) from fault
