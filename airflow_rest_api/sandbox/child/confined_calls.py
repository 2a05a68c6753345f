"""System calls that are rejected where no namespaces separate a process from those of the same user.

Landlock covers files, but not their owners, modes and times, nor resources of other processes. Its older versions
cover neither truncation nor signals. Where no connection is tested there is no network at all.
"""

from __future__ import annotations

import errno
import socket

from airflow_rest_api.sandbox.child import filters, kernel

# Numbers on x86_64 and aarch64, None where a machine has no such call.
_Numbers = tuple[int, "int | None"]

_REJECTED: dict[str, _Numbers] = {
    # Owners, modes, times and attributes of files.
    "chmod": (90, None),
    "chown": (92, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "file_setattr": (469, 469),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "futimesat": (261, None),
    "lchown": (94, None),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "truncate": (76, 45),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
    # What happens to files.
    "fanotify_init": (300, 262),
    "inotify_add_watch": (254, 27),
    # Signals, priorities and memory of other processes.
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "setpriority": (141, 140),
    "tkill": (200, 130),
    # Queues, semaphores and segments of other processes.
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "semctl": (66, 191),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "shmctl": (31, 195),
}
_NETWORK: dict[str, _Numbers] = {"bind": (49, 200), "connect": (42, 203), "listen": (50, 201)}
_SOCKET, _SOCKETPAIR = (41, 198), (53, 199)
_KILL, _TGKILL, _PRLIMIT, _FALLOCATE = (62, 129), (234, 131), (302, 261), (285, 47)
_OPEN, _OPENAT, _OPENAT2, _FCNTL, _IOCTL = (2, None), (257, 56), 437, (72, 25), (16, 29)
# Signals for the owner of a file, and news of its changes: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY.
_OF_FILES = (8, 10, 15, 1026)
# The same for sockets (FIOSETOWN, SIOCSPGRP), and flags of files (FS_IOC_SETFLAGS, also of 32 bits, FS_IOC_FSSETXATTR).
_OF_DEVICES = (0x8901, 0x8902, 0x40086602, 0x40046602, 0x401C5820)
# A process that is not dumpable hides from the warden what it writes.
_PRCTL = (157, 167)
_O_ACCMODE, _O_TRUNC = 3, 0o1000
_KIND = 0xF


def confine(pid: int, *, has_network: bool) -> None:
    """Reject these calls of the process ``pid``, which is this one, and its children for good. Raises `OSError`."""
    column = filters.column()
    rejected = [*_REJECTED.values(), *(() if has_network else _NETWORK.values())]
    numbers = sorted(number for pair in rejected if (number := pair[column]) is not None)
    filters.install(
        [
            *(filters.act_if(filters.IS, number, filters.REJECT) for number in numbers),
            # The C library then writes zeros, which is counted.
            filters.act_if(filters.IS, _FALLOCATE[column], filters.failure(errno.EOPNOTSUPP)),
            # Its flags lie in memory, where a filter cannot look.
            filters.act_if(filters.IS, _OPENAT2, filters.failure(errno.ENOSYS)),
            *(_first_argument_is(pid, pair[column]) for pair in (_KILL, _TGKILL)),
            _first_argument_is(0, _PRLIMIT[column]),
            *(_truncates_only_for_writing(pair[column], flags) for pair, flags in ((_OPEN, 1), (_OPENAT, 2))),
            _rejects_commands(_FCNTL[column], 1, _OF_FILES),
            _rejects_commands(_IOCTL[column], 1, _OF_DEVICES),
            _rejects_commands(_PRCTL[column], 0, (kernel.PR_SET_DUMPABLE,)),
            *([] if has_network else _no_network(column)),
        ]
    )


def _first_argument_is(value: int, number: int) -> filters.Rule:
    other = filters.act_unless(filters.IS, value, filters.REJECT)
    return filters.calls(number, filters.argument(0), *other, filters.act(filters.ALLOW))


def _truncates_only_for_writing(number: int | None, flags: int) -> filters.Rule:
    """Landlock knows truncation since version 3; before, the right to read a file was enough."""
    if number is None:
        return []
    steps = [filters.argument(flags), filters.masked(_O_ACCMODE | _O_TRUNC)]
    for access in (0, _O_ACCMODE):
        steps += filters.act_if(filters.IS, access | _O_TRUNC, filters.REJECT)
    return filters.calls(number, *steps, filters.act(filters.ALLOW))


def _rejects_commands(number: int, place: int, commands: tuple[int, ...]) -> filters.Rule:
    rejected = [filters.act_if(filters.IS, command, filters.REJECT) for command in commands]
    steps = [step for rule in rejected for step in rule]
    return filters.calls(number, filters.argument(place), *steps, filters.act(filters.ALLOW))


def _no_network(column: int) -> list[filters.Rule]:
    """Leave pairs of connected sockets, which event loops need; other kinds of pairs can send to any address."""
    other = filters.act_unless(filters.IS, socket.SOCK_STREAM, filters.REJECT)
    pair = [filters.argument(1), filters.masked(_KIND), *other, filters.act(filters.ALLOW)]
    return [
        filters.act_if(filters.IS, _SOCKET[column], filters.failure(errno.ENETUNREACH)),
        filters.calls(_SOCKETPAIR[column], *pair),
    ]
