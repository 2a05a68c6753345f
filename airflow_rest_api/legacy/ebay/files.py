"""Files, as eBay's plugin stored them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_rest_api.legacy.calls import Call
from airflow_rest_api.legacy.failures import BadRequest
from airflow_rest_api.legacy.occupied import Occupied
from airflow_rest_api.services import file as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.files import absolute_paths, confined
from airflow_rest_api.services.files.durable_file import FileExists
from airflow_rest_api.services.files.uploads import Upload

Json = dict[str, Any]
Roots = Mapping[str, Path]


def upload_file(
    call: Call, file: Upload | None, *, force: bool, folder: str | None, caller: Caller, roots: Roots
) -> Json:
    """Write a file into a folder, by default the first one that files may be written to.

    Raises `BadRequest`, `OutsideRoots`, `Occupied`, and what `file.upload_file` raises.
    """
    if file is None:
        raise BadRequest("file should be provided")
    root, path = _place(roots, folder, confined.clean(file.name))
    full_path = absolute_paths.full(roots, root, path)
    body = {"file": file, "root": root, "path": path, "force": force}
    try:
        service.upload_file(body, caller=caller, upload_roots=roots)
    except FileExists:
        raise Occupied(full_path) from None
    return call.flat(message=f"File [{full_path}] has been uploaded")


def _place(roots: Roots, folder: str | None, name: str) -> tuple[str, str]:
    if folder is None:
        return absolute_paths.default_root(roots), name
    root, below = absolute_paths.located(roots, folder)
    return root, f"{below}/{name}" if below else name
