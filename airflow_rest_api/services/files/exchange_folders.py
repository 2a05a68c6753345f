"""Exchanging two folders: both names change hands in one step, so that no reader finds one of them missing."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

# From `linux/fs.h` and `fcntl.h`.
_EXCHANGE = 2
_HERE = -100
# What file systems answer that cannot do it, and kernels that do not know it.
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM})


def exchange(new: Path, place: Path, aside: Path) -> Path:
    """Put the folder ``new`` at ``place``, where a folder stands, and return where that one is now.

    In one step where the file system can do it; else by way of ``aside``, and for a moment nothing is at the place.
    """
    if _exchange_at_once(new, place):
        return new
    place.rename(aside)
    new.rename(place)
    return aside


def _exchange_at_once(one: Path, other: Path) -> bool:
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    if renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    fault = ctypes.get_errno()
    if fault in _UNSUPPORTED:
        return False
    raise OSError(fault, os.strerror(fault), str(other))


@cache
def _renameat2() -> Any:
    """Return the call of the C library (glibc 2.28, musl 1.2.6), None where there is none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function
