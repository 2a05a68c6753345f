"""Who may import whom: contract → handlers → services → storage and Airflow; web → security → Airflow."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.environment import ROOT

PRODUCT = "airflow_rest_api"
AIRFLOW_ROOMS = ("services", "security", "storage", "plugin")
# What runs in the sandbox's own processes parses files and tests connections with Airflow; its other half starts
# with no Airflow at all.
# The child of a trial is a worker's supervisor, a log server serves an application of Airflow's.
AIRFLOW_MODULES = (
    f"{PRODUCT}.log_server",
    *(f"{PRODUCT}.sandbox.child.{name}" for name in ("parser", "ignoring", "dialler")),
    *(
        f"{PRODUCT}.trial.child.{name}"
        for name in ("__main__", "forgetful", "lines", "place", "secrets", "tasks")
    ),
)
WEB_FRAMES = ("flask", "connexion", "starlette", "fastapi", "werkzeug", "uvicorn", "a2wsgi")
PRIVATE_TO_AIRFLOW = ("airflow.api_fastapi.core_api", "airflow.api_fastapi.common")
# What the web frame shares with the services: their refusals, the caller, Airflow's configuration, what becomes
# of repeated calls, answers with a state, what has come to its end, who carries out work, who follows deployments,
# logs that are followed, JSON, and files on their way; failures of the database, and why a DAG is missing.
SHARED_WITH_WEB = (
    *(
        "errors",
        "caller",
        "configuration",
        "retries",
        "states",
        "watching",
        "background",
        "deployments.deployment_following",
        "kinds",
        "deployments.sandboxes",
        "sources",
        "json_texts",
        "json_encoding",
        "database",
        "dags.missing_dag",
        "weak_sandbox",
    ),
    *("files.uploads", "files.downloads"),
)
# What of the old calls stands in the web frame: it reads requests and asks who sends them.
LEGACY_FRAME = [
    f"{PRODUCT}.legacy.{name}"
    for name in (
        *("arguments", "catalogue", "dialects", "identity", "old_login", "router", "successors", "usage"),
    )
]
# The work of the tag Security is done in the security room: logging in, and telling what a caller may do.
SECURITY_SERVICES = [f"{PRODUCT}.security.{name}" for name in ("sessions", "reviews")]


def sources() -> dict[str, str]:
    """The product's modules by their names in the repository: `airflow_rest_api.web.app`, `handlers.dag`."""
    files = [*(ROOT / PRODUCT).rglob("*.py"), *(ROOT / "handlers").rglob("*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in files
    }


def imported(source: str) -> Iterator[str]:
    """The dotted names that a module imports, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the room"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trespasses(module: str, source: str) -> list[str]:
    """What a module imports and may not."""
    return [f"{module} imports {name}" for name in imported(source) if not allowed(module, name)]


def room(module: str) -> str:
    """`web` for `airflow_rest_api.web.app`, `plugin` for `airflow_rest_api.plugin`, `handlers` for `handlers.dag`."""
    first, *others = module.split(".")
    return others[0] if first == PRODUCT and others else first


def allowed(module: str, name: str) -> bool:
    where = room(module)
    if within(name, "handlers", f"{PRODUCT}.handlers", *PRIVATE_TO_AIRFLOW):
        return False
    if module in LEGACY_FRAME:
        where = "web_of_legacy"
    if within(name, "airflow") and where not in AIRFLOW_ROOMS and module not in AIRFLOW_MODULES:
        return False
    return not within(name, *closed_to(where)) or within(name, *open_to(where))


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def closed_to(where: str) -> list[str]:
    rooms = {
        "handlers": ["web", "security", "storage", "sandbox", "trial", "supervision"],
        "services": ["web", "security", "legacy"],
        "security": ["web", "legacy", "sandbox", "trial", "supervision"],
        "storage": ["web", "security", "services", "legacy", "sandbox", "trial", "supervision"],
        "web": ["services", "sandbox", "trial", "supervision"],
        "sandbox": ["web", "security", "services", "storage", "legacy", "trial", "supervision"],
        "trial": ["web", "security", "services", "storage", "legacy", "supervision"],
        "supervision": ["web", "security", "services", "storage", "legacy", "trial"],
        "legacy": ["web", "security", "storage", "sandbox", "trial", "supervision"],
        "log_server": ["web", "security", "services", "storage", "legacy", "sandbox", "trial", "supervision"],
    }
    frames = WEB_FRAMES if where in ("handlers", "services", "storage", "legacy") else ()
    return [*(f"{PRODUCT}.{name}" for name in rooms.get(where, [])), *frames]


def open_to(where: str) -> list[str]:
    rooms = {
        "web": [f"{PRODUCT}.services.{name}" for name in SHARED_WITH_WEB],
        "handlers": SECURITY_SERVICES,
    }
    return rooms.get(where, [])


SOURCES = sources()


@pytest.mark.parametrize("module", sorted(SOURCES))
def test_a_module_imports_only_what_its_room_may(module):
    assert trespasses(module, SOURCES[module]) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("airflow_rest_api.web.app", "from airflow_rest_api.handlers import dag"),
        ("airflow_rest_api.web.app", "import handlers.dag"),
        ("airflow_rest_api.web.app", "from airflow.models.dag import DagModel"),
        ("airflow_rest_api.web.app", "from airflow_rest_api.services import dag_run"),
        ("airflow_rest_api.cli", "def f():\n    import airflow"),
        ("airflow_rest_api.services.dag", "from flask import request"),
        ("airflow_rest_api.services.dag", "from airflow_rest_api.web import problems"),
        ("airflow_rest_api.services.dag", "from airflow_rest_api.security import access"),
        ("airflow_rest_api.services.dag", "from airflow.api_fastapi.core_api.datamodels import dags"),
        ("airflow_rest_api.storage.tables", "from airflow_rest_api.services import errors"),
        ("handlers.dag", "from airflow_rest_api.web import contract"),
        ("handlers.security", "from airflow_rest_api.security import access"),
        ("handlers.dag", "from airflow.models.dag import DagModel"),
        ("airflow_rest_api.web.app", "from airflow_rest_api.sandbox.box import Sandbox"),
        ("airflow_rest_api.sandbox.box", "from airflow_rest_api.services import errors"),
        ("airflow_rest_api.sandbox.box", "from airflow.models.dag import DagModel"),
        ("airflow_rest_api.supervision.registry", "from airflow_rest_api.services import errors"),
        ("airflow_rest_api.supervision.registry", "from airflow.models.dag import DagModel"),
    ],
)
def test_a_trespass_is_seen(module, line):
    assert len(trespasses(module, line)) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("airflow_rest_api.web.app", "from airflow_rest_api.services import errors"),
        ("airflow_rest_api.web.app", "from airflow_rest_api.services.caller import Caller"),
        ("airflow_rest_api.plugin", "from airflow.plugins_manager import AirflowPlugin"),
        ("handlers.dag", "from airflow_rest_api.services import dag as service"),
        ("handlers.security", "from airflow_rest_api.security.sessions import Sessions"),
        ("handlers.security", "from airflow_rest_api.security.reviews import Reviews"),
        ("airflow_rest_api.services.dag", "from airflow.models.dag import DagModel"),
        (
            "airflow_rest_api.services.deployments.validation",
            "from airflow_rest_api.sandbox.box import Sandbox",
        ),
        ("airflow_rest_api.sandbox.child.parser", "from airflow.dag_processing.dagbag import DagBag"),
    ],
)
def test_what_is_allowed_is_let_through(module, line):
    assert trespasses(module, line) == []
