"""Calls of the kernel, refused or handed to the warden by filters that cannot be taken off (seccomp(2)).

Namespaces and mounts of the parser's own would give it memory that nobody counts, as would segments and files that
are in memory only; the others have been ways into kernels more often than anybody needs them to declare a DAG.
What dials, whichever library does it, waits for the warden's decision where a test of a connection asks for that.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

from airflow_rest_api.sandbox.child import kernel

# By machine: how the kernel calls it (linux/audit.h), and the numbers of the calls (asm/unistd.h).
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_BOTH = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "memfd_secret": 447,
}
_REFUSED = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "mount": (165, 40),
    "msgget": (68, 186),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_CLONE, _CLONE3 = (56, 220), 435
# What names the address that it dials; `sendto` only where it has one.
CONNECT, SENDTO, SENDMSG, SENDMMSG = "connect", "sendto", "sendmsg", "sendmmsg"
_DIALLING = {CONNECT: (42, 203), SENDTO: (44, 206), SENDMSG: (46, 211), SENDMMSG: (307, 269)}
_NAMESPACES = 0x7E020000
# Numbers from here on are those of another way to call the same kernel (x32).
_FOREIGN = 0x40000000

_LOAD, _IS, _AT_LEAST, _HAS_ANY, _ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT, _FIFTH_ARGUMENT = 0, 4, 16, 48
_ALLOW, _FAIL, _ASK = 0x7FFF0000, 0x00050000, 0x7FC00000
_NO, _UNKNOWN = _FAIL | errno.EPERM, _FAIL | errno.ENOSYS
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def refuse() -> None:
    """Refuse these calls to this process and its children for good.

    It must have given up the right to become more than it is. Raises `OSError` where the kernel or this machine
    knows no such filter.
    """
    program = _program()
    steps = ctypes.create_string_buffer(program, len(program))
    kernel.set_filter(_PR_SET_SECCOMP, _MODE_FILTER, _Program(len(program) // 8, ctypes.addressof(steps)))


def hand_over() -> int:
    """Let this thread, and all that it starts from here on, wait for a decision whenever they dial.

    Returns the descriptor at which whoever decides hears of it (seccomp_unotify(2)). Raises `OSError` where the
    kernel knows no such thing.
    """
    program = _dialling_program()
    steps = ctypes.create_string_buffer(program, len(program))
    return kernel.set_listened_filter(_Program(len(program) // 8, ctypes.addressof(steps)))


def dialling(number: int) -> str:
    """Return what the call with this number is, one of those that dial."""
    column = _column()
    return next(name for name, numbers in _DIALLING.items() if numbers[column] == number)


def _column() -> int:
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    return list(_MACHINES).index(machine)


def _dialling_program() -> bytes:
    column = _column()
    numbers = {name: numbers[column] for name, numbers in _DIALLING.items()}
    always = sorted(number for name, number in numbers.items() if name != SENDTO)
    return b"".join(
        [
            _step(_LOAD, _MACHINE),
            *_answer_unless(_IS, _MACHINES[platform.machine()], _NO),
            _step(_LOAD, _NUMBER),
            *_answer_if(_AT_LEAST, _FOREIGN, _NO),
            *(step for number in always for step in _answer_if(_IS, number, _ASK)),
            *_answer_unless(_IS, numbers[SENDTO], _ALLOW),
            # The address is a pointer, of which either half may be zero.
            _step(_LOAD, _FIFTH_ARGUMENT),
            *_answer_unless(_IS, 0, _ASK),
            _step(_LOAD, _FIFTH_ARGUMENT + 4),
            *_answer_unless(_IS, 0, _ASK),
            _step(_ANSWER, _ALLOW),
        ]
    )


def _program() -> bytes:
    column, machine = _column(), platform.machine()
    numbers = sorted([*_BOTH.values(), *(columns[column] for columns in _REFUSED.values())])
    return b"".join(
        [
            _step(_LOAD, _MACHINE),
            *_answer_unless(_IS, _MACHINES[machine], _NO),
            _step(_LOAD, _NUMBER),
            *_answer_if(_AT_LEAST, _FOREIGN, _NO),
            *(step for number in numbers for step in _answer_if(_IS, number, _NO)),
            # Its arguments lie in memory, where a filter cannot look; the C library then does without it.
            *_answer_if(_IS, _CLONE3, _UNKNOWN),
            *_answer_unless(_IS, _CLONE[column], _ALLOW),
            _step(_LOAD, _FIRST_ARGUMENT),
            *_answer_if(_HAS_ANY, _NAMESPACES, _NO),
            _step(_ANSWER, _ALLOW),
        ]
    )


def _answer_if(test: int, value: int, answer: int) -> list[bytes]:
    return [_step(test, value, no=1), _step(_ANSWER, answer)]


def _answer_unless(test: int, value: int, answer: int) -> list[bytes]:
    return [_step(test, value, yes=1), _step(_ANSWER, answer)]


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
