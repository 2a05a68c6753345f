"""File: the operations of `openapi/paths/file.yaml`."""

from __future__ import annotations

from typing import Any

from airflow_rest_api.services import file as service
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.files.downloads import Download
from airflow_rest_api.settings import Settings

Json = dict[str, Any]


def upload_file(body: Json, caller: Caller, settings: Settings) -> Json:
    """Upload a file."""
    return service.upload_file(body, caller=caller, upload_roots=settings.upload_roots)


def get_files(settings: Settings, **query: Any) -> Json:
    """List files."""
    return service.get_files(query, upload_roots=settings.upload_roots)


def get_file(root: str, path: str, caller: Caller, settings: Settings) -> Download:
    """Get a file."""
    return service.get_file(root, path, caller=caller, upload_roots=settings.upload_roots)


def delete_file(root: str, path: str, caller: Caller, settings: Settings) -> None:
    """Delete a file."""
    service.delete_file(root, path, caller=caller, upload_roots=settings.upload_roots)
