"""Git access: the clone of a bundle's repository for one caller at a time, with the credentials of the bundle."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_rest_api.services import configuration, errors
from airflow_rest_api.services.git import git_command
from airflow_rest_api.services.git.git_clone import CloneBroken, GitClone, RepositoryUnavailable
from airflow_rest_api.services.git.git_command import GitTimedOut

log = logging.getLogger(__name__)

_LOCK_SECONDS = 20.0
# A connection that went silent must not hold the clone for as long as TCP would.
_SSH_PATIENCE = "-o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
# The hook puts credentials into the environment of the process for a while, and then puts back what was there
# before: two at a time would put back each other's, for good.
_credentials_lock = threading.Lock()


class CloneBusy(errors.Conflict):
    """Another deployment is at the clone."""

    title = "The bundle is being changed"

    def __init__(self, bundle_name: str) -> None:
        super().__init__(
            f"Other deployments to the bundle '{bundle_name}' are in progress; try again in a few seconds.",
            bundle_name=bundle_name,
        )
        self.retry_after = 5


def folder_of(bundle_name: str) -> Path:
    """Return where the clone of a bundle is."""
    return configuration.state_folder() / "git" / f"{quote(bundle_name, safe='')}.git"


@contextmanager
def opened(native: Any) -> Iterator[GitClone]:
    """Open the clone of a bundle for one caller alone, with the bundle's credentials.

    Raises `CloneBusy`, `RepositoryUnavailable`.
    """
    folder = folder_of(native.name)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(folder.with_suffix(".lock"), native.name) as lock, _credentials(native) as environment:
        clone = GitClone(native, folder, environment, lock)
        try:
            clone.prepare()
            yield clone
        except CloneBroken:
            log.warning("The clone of the bundle '%s' cannot be used; it will be fetched anew", native.name)
            clone.discard()
            raise RepositoryUnavailable(native.name) from None
        except GitTimedOut:
            raise RepositoryUnavailable(native.name) from None


@contextmanager
def _locked(path: Path, bundle_name: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        patience_ends = time.monotonic() + _LOCK_SECONDS
        while not _lock(descriptor):
            if time.monotonic() > patience_ends:
                raise CloneBusy(bundle_name)
            time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _credentials(native: Any) -> Iterator[dict[str, str]]:
    """Give the environment in which git finds the bundle's repository and may use it."""
    with ExitStack() as stack:
        if not _credentials_lock.acquire(timeout=_LOCK_SECONDS):
            raise CloneBusy(native.name)
        stack.callback(_credentials_lock.release)
        extra = _of_hook(native, stack)
        extra["GIT_SSH_COMMAND"] = f"{extra.get('GIT_SSH_COMMAND', 'ssh')} {_SSH_PATIENCE}"
        yield git_command.environment(extra, {"remote.origin.url": str(native.repo_url)})


def _of_hook(native: Any, stack: ExitStack) -> dict[str, str]:
    if native.hook is None:
        return {}
    try:
        stack.enter_context(native.hook.configure_hook_env())
    except Exception as fault:
        # It may have asked the host of the repository for a token; what it says may hold another one.
        log.warning("No credentials for the bundle '%s': %s", native.name, type(fault).__name__)
        raise RepositoryUnavailable(native.name) from None
    return dict(native.hook.env)
