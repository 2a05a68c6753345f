"""System calls that are rejected in every sandbox, or decided by the warden.

Namespaces and mounts of the parser's own would give it memory that is not counted, as would segments and files that
are in memory only. The others have been ways into kernels, and no DAG file needs them. Of networks, only those that
a network namespace separates and the guard understands are left.
Where a connection is tested, calls that name an address wait for the warden's decision, whichever library makes them.
"""

from __future__ import annotations

import errno

from airflow_rest_api.sandbox.child import filters

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
_SOCKET, _FCNTL = (41, 198), (72, 25)
# Sockets of this machine, IPv4, IPv6 and netlink. Others, as those to a hypervisor (vsock), belong to no namespace.
_FAMILIES = (1, 2, 10, 16)
# They connect by an option of the socket, of which the guard does not hear (SCTP, DCCP).
_PROTOCOLS = (132, 33)
# A lease lets every other process that opens the file wait.
_F_SETLEASE = 1024
# What names the address that it dials; `sendto` only where it has one.
CONNECT, SENDTO, SENDMSG, SENDMMSG = "connect", "sendto", "sendmsg", "sendmmsg"
_DIALLING = {CONNECT: (42, 203), SENDTO: (44, 206), SENDMSG: (46, 211), SENDMMSG: (307, 269)}
_NAMESPACES = 0x7E020000


def refuse() -> None:
    """Reject these calls of this process and its children for good.

    It must have given up the right to gain privileges. Raises `OSError` where the kernel or this machine supports
    no such filter.
    """
    column = filters.column()
    numbers = sorted([*_BOTH.values(), *(columns[column] for columns in _REFUSED.values())])
    filters.install(
        [
            *(filters.act_if(filters.IS, number, filters.REJECT) for number in numbers),
            # Its arguments lie in memory, where a filter cannot look; the C library then does without it.
            filters.act_if(filters.IS, _CLONE3, filters.failure(errno.ENOSYS)),
            _no_namespaces(_CLONE[column]),
            _known_networks(_SOCKET[column]),
            _no_leases(_FCNTL[column]),
        ]
    )


def _no_namespaces(number: int) -> filters.Rule:
    flags = filters.act_if(filters.HAS_ANY, _NAMESPACES, filters.REJECT)
    return filters.calls(number, filters.argument(0), *flags, filters.act(filters.ALLOW))


def _known_networks(number: int) -> filters.Rule:
    unknown = filters.failure(errno.EPROTONOSUPPORT)
    protocols = [filters.act_if(filters.IS, protocol, unknown) for protocol in _PROTOCOLS]
    steps = [filters.argument(2), *(step for rule in protocols for step in rule), filters.argument(0)]
    for family in _FAMILIES:
        steps += filters.act_if(filters.IS, family, filters.ALLOW)
    return filters.calls(number, *steps, filters.act(filters.failure(errno.EAFNOSUPPORT)))


def _no_leases(number: int) -> filters.Rule:
    lease = filters.act_if(filters.IS, _F_SETLEASE, filters.REJECT)
    return filters.calls(number, filters.argument(1), *lease, filters.act(filters.ALLOW))


def hand_over() -> int:
    """Let this thread, and all that it starts from here on, wait for a decision whenever they dial.

    Returns the descriptor at which whoever decides hears of it (seccomp_unotify(2)). Raises `OSError` where the
    kernel knows no such thing.
    """
    column = filters.column()
    numbers = {name: numbers[column] for name, numbers in _DIALLING.items()}
    always = sorted(number for name, number in numbers.items() if name != SENDTO)
    # The address is a pointer, of which either half may be zero.
    halves = (filters.argument(4), filters.argument(4, is_upper=True))
    named = [step for half in halves for step in (half, *filters.act_unless(filters.IS, 0, filters.ASK))]
    return filters.install_listened(
        [
            *(filters.act_if(filters.IS, number, filters.ASK) for number in always),
            filters.calls(numbers[SENDTO], *named, filters.act(filters.ALLOW)),
        ]
    )


def dialling(number: int) -> str:
    """Return what the call with this number is, one of those that dial."""
    column = filters.column()
    return next(name for name, numbers in _DIALLING.items() if numbers[column] == number)
