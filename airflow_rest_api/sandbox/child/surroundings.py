"""Surroundings: all that a process in the sandbox can see, which is a list and not what somebody thought of hiding.

A new root is put together in memory: Python and its packages, the system's programs and libraries, the caller's
files with the bundle's other files beside them, all for reading alone; an empty `/tmp`; no network, unless it is to
be dialled; no other process.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airflow_rest_api.sandbox.child import calls, kernel

# Where the caller's files and the bundle's other ones are, inside.
DAGS, BESIDE = Path("/dags"), Path("/bundle")
# Whom files belong to that nobody owns; in a namespace of its own a process of this user meets no other.
NOBODY = 65534
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = (
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/ssl/certs",
    "/etc/alternatives",
)
# What a client of the network reads beside that.
_OF_CLIENTS = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/etc/ssl/openssl.cnf",
    "/etc/krb5.conf",
    "/etc/odbc.ini",
    "/etc/odbcinst.ini",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_WRITABLE = (Path("tmp"), Path("dev/shm"))
_NO_CONTENT = (".git", ".rest_api")
_TMPFS = kernel.MS_NOSUID | kernel.MS_NODEV
_OTHERS = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


@dataclass(frozen=True)
class Plan:
    """What is to be seen inside: the caller's ``folder`` as the bundle, with the files ``beside`` it.

    The folder ``replaced``, a path in there, has nothing of what stands at this path beside it. ``readable`` are
    further paths, ``hidden`` those that are not to be seen although they lie within others. ``stage`` is an empty
    folder on which the new root is put together. Who ``is_connected`` keeps the network.
    """

    stage: Path
    folder: Path
    beside: Path | None
    replaced: str | None
    readable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    is_connected: bool = False


def leave_processes() -> None:
    """Let the children of this process see no other processes; without root's rights, as its own user's root."""
    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWPID)
    else:
        _become_root_of(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)


def enter(plan: Plan) -> None:
    """Go where nothing but what is planned can be seen, never to return, without any right to do more than that.

    Raises `OSError` where the kernel or whoever runs this machine refuses it.
    """
    kernel.unshare(_OTHERS if plan.is_connected else _OTHERS | kernel.CLONE_NEWNET)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _tmpfs(plan.stage, "size=2g,nr_inodes=64k,mode=755")
    _furnish(plan)
    _seal(plan.stage)
    kernel.pivot_root(str(plan.stage))
    give_up_rights()
    calls.refuse()


def give_up_rights() -> None:
    """Become nobody, if this is root, and then nobody in a namespace of users of its own."""
    if os.geteuid() == 0:
        become_nobody()
        with suppress(OSError):
            # Some machines refuse this to all but root; what counts was left behind before.
            _become_root_of(kernel.CLONE_NEWUSER)
    kernel.drop_capabilities()


def become_nobody(kept: tuple[int, ...] = ()) -> None:
    """Give up root's identity but not the capabilities ``kept``; the process's memory becomes its own again."""
    kernel.prctl(kernel.PR_SET_KEEPCAPS, int(bool(kept)))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)


def _become_root_of(namespaces: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(namespaces)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _furnish(plan: Plan) -> None:
    root = plan.stage
    for place in _WRITABLE:
        (root / place).mkdir(parents=True)
        _tmpfs(root / place, "size=16m,nr_inodes=4k,mode=1777")
    # Afterwards, since Python may be installed below one of them.
    for path, is_hidden in _by_depth(plan):
        if is_hidden:
            _hide(root / path.relative_to("/"))
        else:
            _show(root, path)
    (root / "proc").mkdir()
    kernel.mount("proc", str(root / "proc"), "proc", _TMPFS | kernel.MS_NOEXEC)
    if plan.beside is not None:
        (root / BESIDE.relative_to("/")).mkdir()
        _bind(str(plan.beside), root / BESIDE.relative_to("/"))
        _hide_within(plan.beside, root / BESIDE.relative_to("/"), plan.hidden)
    furnish_dags(plan, root / DAGS.relative_to("/"), BESIDE)


def _by_depth(plan: Plan) -> Iterator[tuple[Path, bool]]:
    """Yield what to show and what to hide, the outer before the inner."""
    found = [(path, False) for path in {*shown(plan), *map(Path, DEVICES)} if os.path.lexists(path)]
    found += [(path, True) for path in hidden(plan) if path.exists()]
    return iter(sorted(found, key=lambda entry: (len(entry[0].parts), entry[1])))


def shown(plan: Plan) -> set[Path]:
    """Return what can be read inside, besides devices and the bundle."""
    further = _OF_CLIENTS if plan.is_connected else ()
    found = {Path(path) for path in (*_SYSTEM, *_CONFIGURATION, *further)}
    found |= {Path(path) for path in (sys.prefix, sys.base_prefix)}
    found |= {path for path in plan.readable if not _has_writable(path)}
    # A user's own packages lie elsewhere.
    return found | {Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}


def _has_writable(path: Path) -> bool:
    """Return whether a writable place is at or below a path: mounted over it, this machine's own would be writable."""
    return any((Path("/") / place).is_relative_to(path) for place in _WRITABLE)


def hidden(plan: Plan) -> set[Path]:
    """Return what cannot be seen inside although it may lie within what can: the plan's, and pip's passwords."""
    return {*plan.hidden, Path(sys.prefix, "pip.conf")}


def hidden_within(beside: Path, hidden: Iterable[Path]) -> set[Path]:
    """Return what the bundle's folder has of it, and what is not its content: a clone's history and credentials."""
    within = {beside / name for name in _NO_CONTENT}
    # The bundle itself may be among them, as a folder into which files are uploaded: it is to be seen here.
    return within | {path for path in hidden if path != beside and path.is_relative_to(beside)}


def _show(root: Path, path: Path) -> None:
    place = root / path.relative_to("/")
    if path.is_symlink() and path.is_dir():
        if not os.path.lexists(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.readlink())
        return
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not os.path.lexists(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _bind(str(path), place)


def _bind(source: str, place: Path) -> None:
    kernel.mount(source, str(place), None, kernel.MS_BIND | kernel.MS_REC)


def _seal(root: Path) -> None:
    """Let nothing be written but below the places made for it; what is mounted within a bundle is sealed as well."""
    for place in kernel.mounts_below(root):
        if place.relative_to(root) in _WRITABLE or not place.exists():
            continue  # what is not there lies under another mount, and cannot be reached
        # Without root's rights a flag that the outer mount has cannot be taken off: they are kept as they are.
        kept = os.statvfs(place).f_flag & (kernel.MS_NODEV | kernel.MS_NOEXEC)
        flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kept
        kernel.mount("none", str(place), None, flags)


def _hide(place: Path) -> None:
    if not place.exists():
        return  # nothing shows it
    if place.is_dir():
        _tmpfs(place, "size=1m,mode=755")
    else:
        kernel.mount("/dev/null", str(place), None, kernel.MS_BIND)


def _hide_within(beside: Path, place: Path, hidden: Iterable[Path]) -> None:
    # The outer before the inner, which is gone then.
    for path in sorted(hidden_within(beside, hidden), key=lambda path: len(path.parts)):
        _hide(place / path.relative_to(beside))


def _tmpfs(place: Path, options: str) -> None:
    kernel.mount("tmpfs", str(place), "tmpfs", _TMPFS, options)


def furnish_dags(plan: Plan, place: Path, seen_as: Path) -> None:
    """Make the bundle as it will be: the caller's files, and links to the others, which are ``seen_as`` there."""
    # A link stays one, to be followed inside.
    shutil.copytree(plan.folder, place, symlinks=True, copy_function=shutil.copyfile)
    for folder, _, _ in os.walk(place):
        Path(folder).chmod(0o755)
    if plan.beside is not None:
        replaced = place / plan.replaced if plan.replaced else None
        _link_others(place, plan.beside, seen_as, replaced)


def _link_others(place: Path, beside: Path, seen_as: Path, replaced: Path | None) -> None:
    """Link what is not replaced; where both have a folder, go on inside of it."""
    for entry in _entries(beside):
        mine = place / entry.name
        if not os.path.lexists(mine):
            mine.symlink_to(seen_as / entry.name)
        elif mine != replaced and mine.is_dir() and entry.is_dir():
            _link_others(mine, beside / entry.name, seen_as / entry.name, replaced)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name not in _NO_CONTENT]
    except OSError:
        return []  # a folder that this user may not read


def is_possible(stage: Path) -> bool:
    """Tell, by doing it in a child process, whether this machine lets processes enter such surroundings."""
    child = os.fork()
    if child == 0:
        try:
            leave_processes()
            inner = os.fork()
            if inner == 0:
                (stage / "root").mkdir()
                (stage / "folder").mkdir()
                enter(Plan(stage / "root", stage / "folder", None, None, (), ()))
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
