"""Repositories: real bare ones of git, as a git bundle of Airflow follows, and what others do to them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_PERSON = {
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_AUTHOR_EMAIL": "somebody@example.invalid",
    "GIT_COMMITTER_NAME": "Somebody",
    "GIT_COMMITTER_EMAIL": "somebody@example.invalid",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Repository:
    """A bare repository with a branch `main`, and a working tree of somebody else's beside it."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        """Make both in a folder, with a first commit of these files."""
        self.path, self.tree = folder / "remote.git", folder / "tree"
        folder.mkdir(parents=True, exist_ok=True)
        _git("init", "--quiet", "--bare", "--initial-branch=main", str(self.path), at=folder)
        _git("clone", "--quiet", str(self.path), str(self.tree), at=folder)
        self.commit(files)

    def commit(self, files: dict[str, bytes], message: str = "Change files", mode: int = 0o644) -> str:
        """Commit files as somebody else, on top of what is there, and push."""
        if self.has("refs/heads/main"):
            self.git("fetch", "--quiet")
            self.git("reset", "--quiet", "--hard", "origin/main")
        for name, data in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        self.git("push", "--quiet", "origin", "HEAD:main")
        return self.head

    def git(self, *arguments: str) -> bytes:
        """Run git in the working tree."""
        return _git(*arguments, at=self.tree)

    def ask(self, *arguments: str) -> bytes:
        """Run git in the bare repository."""
        return _git(*arguments, at=self.path)

    def has(self, ref: str) -> bool:
        """Tell whether the bare repository has a reference."""
        return bool(self.ask("for-each-ref", ref))

    @property
    def head(self) -> str:
        """The newest commit of the branch."""
        return self.ask("rev-parse", "main").decode().strip()

    def show(self, path: str, commit: str = "main") -> bytes | None:
        """Return the bytes at a path, None where there is nothing."""
        listed = self.ask("ls-tree", commit, "--", path)
        return self.ask("cat-file", "blob", f"{commit}:{path}") if listed else None

    def names(self, commit: str = "main") -> list[str]:
        """Return the paths of all files."""
        return self.ask("ls-tree", "-r", "-z", "--name-only", commit).decode().split("\0")[:-1]

    def field(self, layout: str, commit: str = "main") -> str:
        """Return what `git log --format` makes of a commit."""
        return self.ask("log", "-1", f"--format={layout}", commit).decode().strip()

    def hook(self, name: str, script: str) -> None:
        """Put a hook into the bare repository."""
        path = self.path / "hooks" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def _git(*arguments: str, at: Path) -> bytes:
    environment = {**os.environ, **_PERSON}
    return subprocess.run(
        ["git", *arguments], cwd=at, env=environment, check=True, capture_output=True
    ).stdout
