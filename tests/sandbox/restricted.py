"""A program that starts another one as in a container: without namespaces, as some user, without Landlock.

`python -m tests.sandbox.restricted '{"user": "daemon", "has_landlock": false}' PROGRAM …`
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import sys
from pathlib import Path

import pytest

from airflow_rest_api.sandbox.child import calls, filters, kernel, landlock

REPOSITORY = Path(__file__).parents[2]
CREATE_RULESET = 444


def kernel_has_landlock() -> bool:
    """Return whether the kernel of this machine has Landlock."""
    try:
        return landlock.version() > 0
    except OSError:
        return False


needs_landlock = pytest.mark.skipif(not kernel_has_landlock(), reason="this kernel has no Landlock")


def command(*arguments: str, user: str | None = None, has_landlock: bool = True) -> list[str]:
    """Return the command line that runs Python with arguments under restrictions; run it in the repository."""
    options = json.dumps({"user": user, "has_landlock": has_landlock})
    return [sys.executable, "-m", "tests.sandbox.restricted", options, *arguments]


def become(name: str) -> None:
    """Become another user, who can read Python where that is in a folder of root's own."""
    kept = () if _is_readable(Path(sys.executable).resolve()) else kernel.reading_capability()
    entry = pwd.getpwnam(name)
    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(*[entry.pw_gid] * 3)
    os.setresuid(*[entry.pw_uid] * 3)
    kernel.drop_capabilities(kept)


def _is_readable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.parents)


def main() -> None:
    options, *arguments = sys.argv[1:]
    found = json.loads(options)
    if found["user"]:
        become(found["user"])
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    calls.refuse()
    if not found["has_landlock"]:
        filters.install([filters.act_if(filters.IS, CREATE_RULESET, filters.failure(errno.ENOSYS))])
    os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    main()
