"""Filters of system calls: built from rules, and set for this process and its children for good (seccomp(2)).

A rule is a list of steps of a BPF program. When it begins, the number of the call is loaded; a rule that loads
something else ends with an action.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable

from airflow_rest_api.sandbox.child import kernel

Rule = list[bytes]

# By machine: how the kernel calls it (linux/audit.h). Numbers of calls are written in the same order (asm/unistd.h).
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Numbers from here on are those of another interface of the same kernel (x32).
_FOREIGN = 0x40000000

IS, AT_LEAST, HAS_ANY = 0x15, 0x35, 0x45
_LOAD, _AND, _END = 0x20, 0x54, 0x06
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16
ALLOW, ASK, _FAIL = 0x7FFF0000, 0x7FC00000, 0x00050000
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def failure(number: int) -> int:
    """Return the action that lets a call fail with an error number."""
    return _FAIL | number


REJECT = failure(errno.EPERM)


def column() -> int:
    """Return the place of this machine's numbers in tables. Raises `OSError` for a machine without numbers."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    return list(_MACHINES).index(machine)


def install(rules: Iterable[Rule]) -> None:
    """Set a filter for this process. It must have given up the right to gain privileges. Raises `OSError`."""
    program = _program(rules)
    steps = ctypes.create_string_buffer(program, len(program))
    kernel.set_filter(_PR_SET_SECCOMP, _MODE_FILTER, _Program(len(program) // 8, ctypes.addressof(steps)))


def install_listened(rules: Iterable[Rule]) -> int:
    """Set a filter for this thread; return the descriptor at which its `ASK` actions are decided."""
    program = _program(rules)
    steps = ctypes.create_string_buffer(program, len(program))
    return kernel.set_listened_filter(_Program(len(program) // 8, ctypes.addressof(steps)))


def _program(rules: Iterable[Rule]) -> bytes:
    steps = [
        _step(_LOAD, _MACHINE),
        *act_unless(IS, _MACHINES[platform.machine()], REJECT),
        _step(_LOAD, _NUMBER),
        *act_if(AT_LEAST, _FOREIGN, REJECT),
        *(step for rule in rules for step in rule),
        act(ALLOW),
    ]
    return b"".join(steps)


def calls(number: int, *steps: bytes) -> Rule:
    """Return a rule for one call: its steps, which are skipped for all others and must end with an action."""
    return [_step(IS, number, no=len(steps)), *steps]


def argument(index: int, *, is_upper: bool = False) -> bytes:
    """Load the lower half of an argument, or its upper one."""
    return _step(_LOAD, _ARGUMENTS + 8 * index + 4 * is_upper)


def masked(bits: int) -> bytes:
    """Keep some bits of what is loaded."""
    return _step(_AND, bits)


def act(action: int) -> bytes:
    """End the program with an action."""
    return _step(_END, action)


def act_if(test: int, value: int, action: int) -> Rule:
    """End the program with an action if what is loaded passes the test."""
    return [_step(test, value, no=1), act(action)]


def act_unless(test: int, value: int, action: int) -> Rule:
    """End the program with an action unless what is loaded passes the test."""
    return [_step(test, value, yes=1), act(action)]


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
