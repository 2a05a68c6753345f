"""Git following: what a git bundle of Airflow's follows, a branch and a folder in it, and whether it can be written.

Nobody is asked over the network: every list of bundles asks this.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from airflow_rest_api.services import errors
from airflow_rest_api.services.files import confined
from airflow_rest_api.services.git import git_command

# Names that git takes as instructions, in whatever spelling a file system would take for them.
_INSTRUCTIONS = re.compile(r"\.git|\.gitmodules|git~\d+|gitmod~\d+", re.IGNORECASE)
# From `git help check-ref-format`.
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-./]|[./]$|^@$|^HEAD$")
_COMMIT = re.compile(r"[0-9a-f]{7,40}|[0-9a-f]{64}")


class ReservedByGit(errors.Malformed):
    """The name means something to git."""

    title = "The path is not allowed"

    def __init__(self, name: str) -> None:
        super().__init__(f"Git has its own use for '{name}', so it cannot be deployed into a git bundle.")


def why_not(native: Any) -> str | None:
    """Return why nothing can be deployed into a git bundle of Airflow's, None where that is not known.

    Nobody is asked over the network: what Airflow's clone or ours does not know, the deployment will find out.
    """
    if not git_command.is_installed():
        return "git is not installed on this machine"
    if not native.repo_url or str(native.repo_url).startswith("-"):
        return "its connection names no repository"
    if _NO_REF.search(native.tracking_ref):
        return "its tracking_ref is no name of a branch"
    if not _subdir_is_plain(native):
        return "its subdir is no plain path"
    return _why_no_branch(native)


def _subdir_is_plain(native: Any) -> bool:
    try:
        place_of(native, "any")
    except errors.Malformed:
        return False
    return True


def _why_no_branch(native: Any) -> str | None:
    clone, name = Path(native.bare_repo_path), native.tracking_ref
    if not (clone / "HEAD").is_file() or _has_ref(clone, f"refs/heads/{name}"):
        return None
    if _has_ref(clone, f"refs/tags/{name}"):
        return f"it follows the tag '{name}', which stays where it is"
    if _COMMIT.fullmatch(name):
        return f"it follows the commit '{name}', which stays as it is"
    return f"its repository has no branch '{name}'"


def _has_ref(clone: Path, ref: str) -> bool:
    """Tell whether a bare clone has a reference, from its files: it is asked for every list of bundles."""
    if (clone / ref).is_file():
        return True
    packed = clone / "packed-refs"
    return packed.is_file() and f" {ref}\n" in packed.read_text(encoding="utf-8", errors="replace")


def place_of(native: Any, path: str) -> str:
    """Return a path of the bundle as one of the repository; the empty path is the bundle itself.

    Raises `BadPath`, `ReservedByGit`.
    """
    parts = [part for part in (native.subdir or "").split("/") if part not in ("", ".")]
    place = "/".join([*parts, *([path] if path else [])])
    return allowed(place) if place else ""


def allowed(path: str) -> str:
    """Return a path that may be in a repository; raises `BadPath`, `ReservedByGit`."""
    for name in confined.segments(path):
        if _INSTRUCTIONS.fullmatch(name):
            raise ReservedByGit(name)
    return path
