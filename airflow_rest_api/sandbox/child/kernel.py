"""The kernel's calls that Python has no function for: namespaces, mounts, capabilities (Linux man pages, section 2)."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP = 1, 4, 8, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
_AMBIENT_RAISE = 2
_MNT_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
# The same on all machines (Linux 5.6).
_PIDFD_GETFD = 438
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = 41
_LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name for new ones."""
    _checked(_LIBC.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount a file system."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _checked(_LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))


def pivot_root(new: str) -> None:
    """Make the mount ``new`` the root of this mount namespace, and leave the old one behind."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"pivot_root is not known for {platform.machine()}")
    os.chdir(new)
    # The old root ends up below the new one, at the same place, and is taken off it (pivot_root(2), NOTES).
    _checked(_LIBC.syscall(number, b".", b"."))
    _checked(_LIBC.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def mounts_below(place: Path) -> list[Path]:
    """Return where this mount namespace has mounts at and below a place, the outer before the inner."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    # Blanks and some others are written as three octal digits (proc_pid_mountinfo(5)).
    found = [
        re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), line.split()[4]) for line in lines
    ]
    below = {Path(os.fsdecode(path)) for path in found}
    return sorted(path for path in below if path.is_relative_to(place))


def prctl(option: int, value: int, further: int = 0) -> None:
    """Set an attribute of this process."""
    _checked(_LIBC.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(further), 0, 0))


def syscall(number: int, *arguments: Any) -> int:
    """Make a system call and return its result. Raises `OSError`."""
    found = int(_LIBC.syscall(number, *arguments))
    _checked(found)
    return found


def set_filter(option: int, mode: int, program: ctypes.Structure) -> None:
    """Set a filter of calls for this process."""
    _checked(_LIBC.prctl(option, ctypes.c_ulong(mode), ctypes.byref(program), 0, 0))


def set_listened_filter(program: ctypes.Structure) -> int:
    """Set a filter of calls for this thread; return the descriptor that tells of the calls it hands over."""
    number = _SECCOMP.get(platform.machine())
    if number is None:
        raise OSError(f"seccomp is not known for {platform.machine()}")
    descriptor = int(_LIBC.syscall(number, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(program)))
    _checked(descriptor)
    return descriptor


def taken(pid: int, descriptor: int) -> int:
    """Return a descriptor of our own for the file that another process has open as ``descriptor``."""
    process = os.pidfd_open(pid)
    try:
        found = int(_LIBC.syscall(_PIDFD_GETFD, process, descriptor, 0))
        _checked(found)
    finally:
        os.close(process)
    return found


def connect(descriptor: int, address: bytes) -> int:
    """Connect a socket to an address as the kernel writes it; return the kernel's error number, 0 for none."""
    buffer = ctypes.create_string_buffer(address, len(address))
    return ctypes.get_errno() if _LIBC.connect(descriptor, buffer, len(address)) == -1 else 0


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop_capabilities(kept: Collection[int] = ()) -> None:
    """Give up all capabilities but ``kept`` for good, also for programs that are started later."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    # A process without the right to drop a capability has none of them. Older kernels know fewer.
    with suppress(OSError):
        for capability in set(range(_CAPABILITIES)) - set(kept):
            prctl(PR_CAPBSET_DROP, capability)
    header, sets = _Header(_CAPABILITY_VERSION, 0), (_Sets * 2)()
    mask = sum(1 << capability for capability in kept)
    sets[0] = _Sets(mask, mask, mask)
    _checked(_LIBC.capset(ctypes.byref(header), sets))
    for capability in kept:
        prctl(PR_CAP_AMBIENT, _AMBIENT_RAISE, capability)


def reading_capability() -> tuple[int, ...]:
    """Return the capability of this process that lets it read all files, preferably one that allows nothing else."""
    header, sets = _Header(_CAPABILITY_VERSION, 0), (_Sets * 2)()
    _checked(_LIBC.capget(ctypes.byref(header), sets))
    able = (one for one in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if sets[0].permitted >> one & 1)
    return tuple(able)[:1]
