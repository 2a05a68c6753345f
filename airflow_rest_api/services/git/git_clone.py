"""Git clone: our own copy of the repository that a bundle of Airflow follows, without a working tree.

Airflow resets its own clone hard on every refresh, so nothing of ours may be in there. A copy without files has no
symbolic links to be led astray by, no filters and no line ends: what is written is bytes under names in a tree.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.deployments.bundles import BundleNotWritable
from airflow_rest_api.services.files.disk_faults import DiskFull
from airflow_rest_api.services.git import git_command
from airflow_rest_api.services.git.git_command import Finished, GitTimedOut

HEAD, PENDING = "refs/rest_api/head", "refs/rest_api/pending"
FOLDER_MODE, FILE_MODES = "040000", ("100644", "100755")
# A deployment holds its claim on a path for a minute; whoever waits longer than all this has lost it anyway.
_NETWORK_SECONDS, _FIRST_SECONDS, _LOCAL_SECONDS = 20.0, 45.0, 20.0
# Of a long history the first fetch takes the end only: enough to find what a process that died has pushed.
_DEPTH = 200


class RepositoryUnavailable(errors.Unavailable):
    """The repository of a bundle does not answer, or not to this service."""

    title = "The repository is unavailable"

    def __init__(self, bundle_name: str) -> None:
        super().__init__(
            f"The repository of the bundle '{bundle_name}' does not answer, or refuses the bundle's credentials;"
            " the log of the service knows more.",
            retry_after=5,
            bundle_name=bundle_name,
        )


class CloneBroken(Exception):
    """Git cannot work with what is in the clone; it can be thrown away and fetched anew."""


@dataclass(frozen=True)
class Entry:
    """What has a name in a tree; ``path`` is relative to the place where somebody looked."""

    mode: str
    sha: str
    size: int
    path: str

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file: no folder, symbolic link or submodule."""
        return self.mode in FILE_MODES


class GitClone:
    """The clone, opened: nobody else changes it meanwhile."""

    def __init__(self, native: Any, folder: Path, environment: dict[str, str], lock: int) -> None:
        """Take Airflow's bundle, where the clone is, what git needs to know, and the descriptor of the lock."""
        self._name: str = native.name
        self._branch: str = native.tracking_ref
        self._folder = folder
        self._environment = environment
        self._lock = lock

    def fetch(self) -> str:
        """Get the branch as it is now and return its newest commit.

        Raises `RepositoryUnavailable`, and `BundleNotWritable` where the repository has no such branch.
        """
        is_first = not self._is_known(HEAD)
        quietly = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        depth = (f"--depth={_DEPTH}",) if is_first else ()
        refs = f"+refs/heads/{self._branch}:{HEAD}"
        seconds = _FIRST_SECONDS if is_first else _NETWORK_SECONDS
        if self._remotely("fetch", *quietly, *depth, "origin", refs, seconds=seconds).code:
            raise self._reason_of_failed_fetch()
        return self.commit(HEAD)

    def _reason_of_failed_fetch(self) -> Exception:
        looked = self._remotely("ls-remote", "--exit-code", "origin", f"refs/heads/{self._branch}")
        if looked.code == 2:
            return BundleNotWritable(self._name, f"its repository has no branch '{self._branch}'")
        return CloneBroken("fetch") if looked.code == 0 else RepositoryUnavailable(self._name)

    def push(self, commit: str) -> bool:
        """Make a commit the newest of the branch; False where the repository refuses that.

        Raises `RepositoryUnavailable`; then it is not known whether it did.
        """
        plainly = ("--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no")
        pushed = self._remotely("push", *plainly, "origin", f"{commit}:refs/heads/{self._branch}")
        if pushed.code == 0:
            return True
        if any(line.startswith(b"!") for line in pushed.out.splitlines()):
            return False
        raise RepositoryUnavailable(self._name)

    def commit(self, name: str) -> str:
        """Return the full name of a commit."""
        return (
            self._locally("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
            .decode()
            .strip()
        )

    def parent(self, commit: str) -> str | None:
        """Return the first parent of a commit; None where it has none, or none that was fetched."""
        return self.commit(f"{commit}^") if self._is_known(f"{commit}^") else None

    def log(self, commit: str, layout: str, *options: str, path: str | None = None) -> list[str]:
        """Return a line for each of the commits that led to this one, newest first; of those that touch the path."""
        limits = () if path is None else ("--", path)
        said = self._locally("log", f"--format={layout}", *options, commit, *limits)
        return said.decode(errors="replace").splitlines()

    def kinds(self, commit: str, paths: Sequence[str]) -> list[str]:
        """Return what the paths are: `tree` for a folder, `blob`, `commit`, or `missing`."""
        asked = "".join(f"{commit}:{path}\n" for path in paths).encode()
        said = self._locally("cat-file", "--batch-check=%(objecttype)", given=asked).decode()
        # Of what is missing the answer repeats the name, which ends in that word.
        return [line.rpartition(" ")[2] for line in said.splitlines()]

    def entry(self, commit: str, path: str) -> Entry | None:
        """Return what is at a path; the empty path is the top."""
        if not path:
            return Entry(FOLDER_MODE, self.commit(commit) + "^{tree}", 0, "")
        return next(iter(self._entries(f"{commit}^{{tree}}", "--", path)), None)

    def entries(self, tree: str) -> list[Entry]:
        """Return all files, links and submodules in and below a folder."""
        return self._entries("-r", tree)

    def _entries(self, *arguments: str) -> list[Entry]:
        listed = self._locally("ls-tree", "-z", "--long", "--full-tree", *arguments)
        return [_entry(line.decode()) for line in listed.split(b"\0") if line]

    def blobs(self, names: Sequence[str]) -> list[bytes]:
        """Return the bytes of files."""
        said = self._locally("cat-file", "--batch", given="".join(f"{name}\n" for name in names).encode())
        found, at = [], 0
        for _ in names:
            end = said.index(b"\n", at)
            size = int(said[at:end].rpartition(b" ")[2])
            found.append(said[end + 1 : end + 1 + size])
            at = end + size + 2
        return found

    def import_commit(self, stream: bytes) -> str:
        """Make the commit that a stream of fast-import describes on the reference `PENDING`, and return its name."""
        self._locally("fast-import", "--quiet", "--force", "--done", given=stream)
        return self.commit(PENDING)

    def prepare(self) -> None:
        """Make the clone where there is none, and remove what processes that were killed have left."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (self._folder / "HEAD").exists():
            self._locally("init", "--quiet", "--bare", "--template=")
        # Whoever could still need one of these holds the lock that we hold.
        for names in ("**/*.lock", "objects/**/tmp_*", "fast_import_crash_*"):
            for left in self._folder.glob(names):
                left.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all that was fetched."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_known(self, name: str) -> bool:
        return (
            self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").code == 0
        )

    def _locally(self, *arguments: str, given: bytes = b"") -> bytes:
        finished = self._run(*arguments, given=given)
        if finished.code:
            raise CloneBroken(arguments[0])
        return finished.out

    def _remotely(self, *arguments: str, seconds: float | None = None) -> Finished:
        try:
            return self._run(*arguments, seconds=seconds or _NETWORK_SECONDS)
        except GitTimedOut:
            raise RepositoryUnavailable(self._name) from None

    def _run(self, *arguments: str, given: bytes = b"", seconds: float = _LOCAL_SECONDS) -> Finished:
        finished = git_command.run(
            arguments,
            folder=self._folder,
            environment=self._environment,
            seconds=seconds,
            given=given,
            kept=self._lock,
        )
        if finished.is_out_of_room:
            raise DiskFull(self._name)
        return finished


def _entry(line: str) -> Entry:
    facts, _, path = line.partition("\t")
    mode, _, sha, size = facts.split()
    return Entry(mode, sha, int(size) if size.isdigit() else 0, path)
