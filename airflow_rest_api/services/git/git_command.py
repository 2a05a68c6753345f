"""Git command: git as a child that reads nobody's configuration, asks nobody, ends in time and tells no secret."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

# Configuration that a repository, a machine or a user could have made otherwise. Nothing of it may run a program,
# change a byte, or reach for another repository.
_SETTINGS = (
    *(
        "core.hooksPath=/dev/null",
        "core.attributesFile=/dev/null",
        "core.autocrlf=false",
        "core.fsmonitor=false",
    ),
    *(
        "protocol.allow=never",
        *(f"protocol.{name}.allow=always" for name in ("file", "git", "http", "https", "ssh")),
    ),
    *("http.lowSpeedLimit=1", "http.lowSpeedTime=15", "submodule.recurse=false", "push.gpgSign=false"),
    # A cleaning that runs on behind our back would keep the lock of the clone.
    *("gc.autoDetach=false", "maintenance.autoDetach=false"),
    # A volume may belong to another user than the one that we run as.
    "safe.directory=*",
)
# What git needs of our environment: to find programs, keys and proxies. The rest of it is none of its business.
_PASSED = re.compile(
    r"PATH|HOME|TMPDIR|SSH_AUTH_SOCK|SSL_CERT_(FILE|DIR)|GIT_SSL_.*|(?i:(https?|all|no)_proxy)"
    r"|GIT_CONFIG_(COUNT|KEY_\d+|VALUE_\d+)"
)
_ALWAYS = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
_MOST_LOGGED = 1000
# What the C library says for ENOSPC, EDQUOT and EFBIG, in the language that is set above.
_NO_ROOM = (b"No space left on device", b"Disk quota exceeded", b"File too large")


class GitTimedOut(Exception):
    """The command did not come to an end, and was killed with all its children."""


@dataclass(frozen=True)
class Finished:
    """A command that ended, with its exit code and what it said."""

    code: int
    out: bytes
    err: bytes

    @property
    def is_out_of_room(self) -> bool:
        """Whether it failed because the disk was full."""
        return self.code == -signal.SIGXFSZ or (
            self.code != 0 and any(words in self.err for words in _NO_ROOM)
        )


def is_installed() -> bool:
    """Tell whether there is a git on this machine."""
    return shutil.which("git") is not None


def environment(extra: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command, with what a hook adds, and with settings that no list of processes shows."""
    values = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    values |= {**extra, **_ALWAYS}
    count = int(values.get("GIT_CONFIG_COUNT") or 0)
    for index, (name, value) in enumerate(settings.items(), start=count):
        values |= {f"GIT_CONFIG_KEY_{index}": name, f"GIT_CONFIG_VALUE_{index}": value}
    return values | {"GIT_CONFIG_COUNT": str(count + len(settings))}


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    seconds: float,
    given: bytes = b"",
    kept: int | None = None,
) -> Finished:
    """Run git on a bare repository and wait for its end; raises `GitTimedOut`.

    ``kept`` is a descriptor that stays open until the last process of the command has ended, even when we do not live
    to see that.
    """
    options = [part for setting in _SETTINGS for part in ("-c", setting)]
    with subprocess.Popen(
        ["git", *options, f"--git-dir={folder}", *arguments],
        cwd="/",
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=() if kept is None else (kept,),
    ) as process:
        try:
            out, err = process.communicate(given, timeout=seconds)
        except BaseException as fault:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(fault, subprocess.TimeoutExpired):
                log.warning("git %s did not end within %s s, and was killed", arguments[0], seconds)
                raise GitTimedOut(arguments[0]) from None
            raise
    if process.returncode:
        log.info("git %s ended with %s: %s", arguments[0], process.returncode, _redacted(err))
    return Finished(process.returncode, out, err)


def _redacted(text: bytes) -> str:
    """Return what git said for the log: it repeats addresses, with the passwords in them."""
    return _CREDENTIALS.sub("***@", text.decode(errors="replace"))[:_MOST_LOGGED]
