"""Git publication: content of a bundle that Airflow takes from a branch, put there as a commit of the caller's.

Every machine of Airflow gets it as it gets any other commit. Nothing is ever forced: a commit goes on top of what is
there, taking a deployment back is one more commit, and the history stays one line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments.content import Content, ContentTooLarge
from airflow_rest_api.services.files import confined
from airflow_rest_api.services.git import git_access, git_clone
from airflow_rest_api.services.git.git_clone import FILE_MODES, FOLDER_MODE, PENDING, Entry, GitClone
from airflow_rest_api.services.git.git_following import allowed, place_of, why_not

# More than any folder that is deployed may hold.
MOST_BYTES = 256 * 1024 * 1024
# After the first push was refused, because somebody else was faster.
RETRIES = 3
# By this line of its message a commit is found again.
TRAILER = "Deployment-Id"
COMMITTER = "airflow-rest-api <airflow-rest-api>"
_HISTORY = 500
_NO_IDENTITY = re.compile(r"[\x00-\x1f\x7f<>]+")
_NO_TEXT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class PushRejected(errors.Conflict):
    """The repository of the bundle takes no commit from us."""

    title = "The push was rejected"

    def __init__(self, bundle_name: str) -> None:
        super().__init__(
            f"The repository of the bundle '{bundle_name}' rejected the commit: a rule of its branch or a hook"
            " forbids it, or others push all the time; nothing was changed.",
            bundle_name=bundle_name,
        )


class GitPublication:
    """Publishes into the branch that a git bundle of Airflow's follows."""

    def __init__(self, native: Any, verify: Callable[[], None] = lambda: None) -> None:
        """Take Airflow's bundle, and what may say no, by raising, in the last moment before the branch changes."""
        self._native = native
        self._verify = verify

    @property
    def why_not(self) -> str | None:
        """Why nothing can be published, None where that is not known."""
        return why_not(self._native)

    def read(self, path: str) -> Content | None:
        """Return what the branch has at a path now, None for nothing.

        Raises `PathBlocked` for what is neither file nor folder, `ContentTooLarge`, `RepositoryUnavailable`.
        """
        place = place_of(self._native, path)
        with git_access.opened(self._native) as clone:
            return _content(clone, clone.fetch(), place)

    def publish(
        self, path: str, content: Content | None, *, deployment_id: str, author: str, message: str
    ) -> str | None:
        """Commit a content in place of what is at a path, or its removal for None, push, and return the commit.

        Done again for the same deployment it returns the commit that is there, and where there is nothing to change,
        the newest. Raises `PushRejected`, `PathBlocked`, `ReservedByGit`, `RepositoryUnavailable`, `CloneBusy`.
        """
        place = place_of(self._native, path)
        with git_access.opened(self._native) as clone:
            head = clone.fetch()
            done = _commit_of(clone, head, deployment_id)
            if done:
                return done
            for _ in range(1 + RETRIES):
                commit = _committed(clone, head, place, content, (deployment_id, author, message))
                if commit == head or self._push(clone, commit):
                    return commit
                known, head = head, clone.fetch()
                if head == known:
                    # Nobody was faster: it is the commit itself that is not wanted.
                    break
        raise PushRejected(self._native.name)

    def is_published(self, path: str, content: Content | None, deployment_id: str) -> bool:
        """Tell whether the branch has a deployment's commit, or else this content at the path."""
        place = place_of(self._native, path)
        with git_access.opened(self._native) as clone:
            head = clone.fetch()
            return bool(_commit_of(clone, head, deployment_id)) or _equal(
                _content(clone, head, place), content
            )

    def tidy(self, path: str, deployment_id: str) -> None:
        """Do nothing: a commit that was not pushed is in nobody's way."""

    def _push(self, clone: GitClone, commit: str) -> bool:
        self._verify()
        return clone.push(commit)


def _content(clone: GitClone, commit: str, place: str) -> Content | None:
    found = _find(clone, commit, place)
    if found is None:
        return None
    if found.is_file:
        _bound([found])
        return Content.of_file(clone.blobs([found.sha])[0])
    files = [entry for entry in clone.entries(found.sha) if entry.is_file]
    _bound(files)
    blobs = clone.blobs([entry.sha for entry in files])
    return Content.of_files({entry.path: blob for entry, blob in zip(files, blobs, strict=True)})


def _bound(entries: list[Entry]) -> None:
    if sum(entry.size for entry in entries) > MOST_BYTES:
        raise ContentTooLarge


def _find(clone: GitClone, commit: str, place: str) -> Entry | None:
    """Return what is at a place, None for nothing; raises `PathBlocked` where a link or submodule is, or on the way."""
    names = place.split("/")
    around = ["/".join(names[:count]) for count in range(1, len(names))]
    kinds = clone.kinds(commit, around) if around else []
    if any(kind not in ("tree", "missing") for kind in kinds):
        raise confined.PathBlocked(place)
    found = None if "missing" in kinds else clone.entry(commit, place)
    if found is not None and found.mode not in (FOLDER_MODE, *FILE_MODES):
        raise confined.PathBlocked(place)
    return found


def _commit_of(clone: GitClone, head: str, deployment_id: str) -> str | None:
    """Return the commit of a deployment, if it is in the history."""
    layout = f"%H %(trailers:key={TRAILER},valueonly,separator=%x2C)"
    for line in clone.log(head, layout, f"--max-count={_HISTORY}"):
        commit, _, value = line.partition(" ")
        if value == deployment_id:
            return commit
    return None


def _committed(
    clone: GitClone, head: str, place: str, content: Content | None, described: tuple[str, str, str]
) -> str:
    """Return a commit on top of ``head`` that has the content at the place; ``head`` itself where that has it."""
    before = _content(clone, head, place)
    if _equal(before, content):
        return head
    undone = _undone(clone, head, place, content)
    changes = _changes(clone, head, place, content) if undone is None else _restoring(clone, undone, place)
    commit = clone.import_commit(b"".join((*_described(head, undone, *described), *changes, b"done\n")))
    if not _equal(_content(clone, commit, place), content):
        raise git_clone.CloneBroken("fast-import")
    return commit


def _undone(clone: GitClone, head: str, place: str, content: Content | None) -> str | None:
    """Return the commit that is undone when the place gets this content: the last one there, if one of ours."""
    layout = f"%H %(trailers:key={TRAILER},valueonly,separator=%x2C)"
    last = next(iter(clone.log(head, layout, "--max-count=1", path=place or ".")), "")
    commit, _, value = last.partition(" ")
    before = clone.parent(commit) if value else None
    return commit if before and _equal(_content(clone, before, place), content) else None


def _restoring(clone: GitClone, undone: str, place: str) -> Iterator[bytes]:
    """Give back what was at a place before a commit, with links and modes, of which a content knows nothing."""
    found = clone.entry(f"{undone}^", place)
    yield _removal(place)
    if found is None:
        return
    prefix = f"{place}/" if place else ""
    entries = [found] if found.is_file else clone.entries(found.sha)
    for entry in entries:
        name = place if found.is_file else prefix + entry.path
        yield b"M %s %s %s\n" % (entry.mode.encode(), entry.sha.encode(), _quoted(name))


def _changes(clone: GitClone, head: str, place: str, content: Content | None) -> Iterator[bytes]:
    modes = _modes(clone, head, place)
    yield _removal(place)
    for name, data in content.files().items() if content else ():
        path = allowed("/".join(part for part in (place, name) if part))
        yield b"M %s inline %s\n" % (modes.get(name, FILE_MODES[0]).encode(), _quoted(path))
        yield b"data %d\n%s\n" % (len(data), data)


def _modes(clone: GitClone, head: str, place: str) -> dict[str, str]:
    """Return the modes of the files that are there: who replaces a file leaves it executable."""
    found = _find(clone, head, place)
    if found is None or found.is_file:
        return {"": found.mode} if found else {}
    return {entry.path: entry.mode for entry in clone.entries(found.sha) if entry.is_file}


def _removal(place: str) -> bytes:
    return b"D %s\n" % _quoted(place) if place else b"deleteall\n"


def _quoted(path: str) -> bytes:
    # Backslashes and control characters are no part of an allowed path, but a repository may hold such names.
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return b'"%s"' % re.sub(r"[\x00-\x1f]", lambda found: f"\\{ord(found[0]):03o}", escaped).encode(
        errors="surrogateescape"
    )


def _described(
    head: str, undone: str | None, deployment_id: str, author: str, message: str
) -> Iterator[bytes]:
    reverts = f"This reverts commit {undone}.\n\n" if undone else ""
    text = f"{_NO_TEXT.sub('', message).strip()}\n\n{reverts}{TRAILER}: {deployment_id}\n".encode(
        errors="replace"
    )
    now = int(time.time())
    yield f"commit {PENDING}\n".encode()
    yield f"author {_identity(author)} {now} +0000\n".encode(errors="replace")
    yield f"committer {COMMITTER} {now} +0000\n".encode()
    yield b"data %d\n%s\nfrom %s\n" % (len(text), text, head.encode())


def _identity(name: str) -> str:
    """Return the caller as git writes people; Airflow knows no address that would be certain to be theirs."""
    plain = _NO_IDENTITY.sub(" ", name).strip() or "unknown"
    return f"{plain} <{plain.replace(' ', '-')}>"


def _equal(one: Content | None, other: Content | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.kind, one.sha256) == (other.kind, other.sha256)
