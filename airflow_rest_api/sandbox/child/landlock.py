"""Landlock: rules on files, ports and signals that a process sets for itself and its children (landlock(7)).

It needs no namespaces and no rights (Linux 5.13). Later versions know more rights; older ones are given those that
they know, so `calls.confine` rejects the calls that an older version does not cover.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from airflow_rest_api.sandbox.child import kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
# Since version 2, 3 and 5.
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
CHANGE = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
_FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_FIRST_RIGHTS = (1 << 13) - 1
# Binding and connecting TCP sockets since version 4; abstract sockets and signals since version 6.
_PORTS, _SCOPES = 3, 3
# The same on all machines (asm-generic/unistd.h).
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_GET_VERSION, _BENEATH = 1, 1

Rule = tuple[Path, int]


def version() -> int:
    """Return the version of the kernel's interface. Raises `OSError` if the kernel has none or it is disabled."""
    return kernel.syscall(_CREATE, None, 0, _GET_VERSION)


def restrict(rules: Iterable[Rule], *, has_network: bool) -> None:
    """Deny this process everything on files but the ``rules``, which are paths with rights, for good.

    Paths that do not exist are skipped. Raises `OSError` where the kernel does not support it.
    """
    found = version()
    rights = _rights(found)
    attributes = [rights, 0 if has_network else _PORTS, _SCOPES][: _attributes(found)]
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = kernel.syscall(_CREATE, ctypes.c_char_p(packed), len(packed), 0)
    try:
        for path, allowed in rules:
            _allow(ruleset, path, allowed & rights)
        kernel.syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _rights(found: int) -> int:
    later = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
    return _FIRST_RIGHTS | sum(right for since, right in later.items() if found >= since)


def _attributes(found: int) -> int:
    return 3 if found >= 6 else 2 if found >= 4 else 1


def _allow(ruleset: int, path: Path, rights: int) -> None:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if stat.S_ISDIR(os.fstat(place).st_mode) else rights & _FOR_FILES
            kernel.syscall(_ADD, ruleset, _BENEATH, ctypes.c_char_p(struct.pack("=Qi", allowed, place)), 0)
        finally:
            os.close(place)
