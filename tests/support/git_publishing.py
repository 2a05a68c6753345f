"""Publishing into a git bundle, as tests do it, and what `dags/a.py` of the repository holds before and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from airflow_rest_api.services.deployments.content import Content
from airflow_rest_api.services.git.git_publication import GitPublication

OLD, NEW = Content.of_file(b"old = 1\n"), Content.of_file(b"new = 2\r\nlast = 'no line end'")


def publish(
    bundle: Any,
    path: str,
    content: Content,
    deployment_id: str | None = None,
    *,
    author: str = "admin",
    message: str = "Deploy it",
    verify: Callable[[], None] = lambda: None,
) -> Any:
    """Publish `content` as a deployment, by default a new one, and return the commit."""
    return GitPublication(bundle, verify).publish(
        path, content, deployment_id=deployment_id or str(uuid4()), author=author, message=message
    )


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until the condition holds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come to be"
        time.sleep(0.01)
