"""What the embedded Airflow is told: its `airflow.cfg`, its secrets and its login.

Airflow lets environment variables win over `airflow.cfg`, so what stands in the environment keeps its say.
"""

from __future__ import annotations

import base64
import configparser
import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SIMPLE_AUTH_MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"

# Stopping the server that answers the call would be the last thing it did: it is not offered.
COMPONENTS = (
    "scheduler",
    "dag-processor",
    "triggerer",
    "celery-worker",
    "celery-flower",
    "kerberos",
    "serve-logs",
)

CONFIG_HEADER = """\
# Written by scripts/serve at each start: changes made here are lost. To change a setting, put
# AIRFLOW__SECTION__NAME into the environment of scripts/serve.

"""


@dataclass(frozen=True)
class Home:
    """The folder that holds everything an embedded Airflow keeps."""

    path: Path

    @property
    def config(self) -> Path:
        """Airflow's configuration file, written anew at each start."""
        return self.path / "airflow.cfg"

    @property
    def login(self) -> Path:
        """Address, user name and password, for people and scripts."""
        return self.path / "login.json"

    @property
    def logs(self) -> Path:
        """What the components print, and the tasks' logs."""
        return self.path / "logs"

    @property
    def parsed(self) -> Path:
        """There once the DAG files have been read for the first time."""
        return self.path / "parsed"

    @property
    def lock(self) -> Path:
        """Locked for as long as a `scripts/serve` runs on this home."""
        return self.path / "serve.lock"

    @property
    def processes(self) -> Path:
        """The process groups of the components that run now."""
        return self.path / "serve.processes.json"


@dataclass(frozen=True)
class Login:
    """Where the server answers and who may come in; None where another auth manager decides that."""

    url: str
    username: str | None
    password: str | None


@dataclass(frozen=True)
class Wishes:
    """What the command line asked for."""

    home: Home
    port: int
    examples: bool


class UnusableHomeError(Exception):
    """The home folder cannot hold an embedded Airflow; the text says why."""


def prepare(wishes: Wishes, environ: Mapping[str, str]) -> Login:
    """Create what the home lacks, write its settings for this start, keep its secrets and its password.

    Raises UnusableHomeError where the folder's name or its file system does not allow it.
    """
    home = wishes.home
    unfit = sorted(set("%$?#,\n") & set(str(home.path)))
    if unfit:
        raise UnusableHomeError(
            f'the home "{home.path}" has {" ".join(unfit)!r} in its name: Airflow cannot use such a path'
        )
    for folder in ("", "dags", "files", "logs", "plugins", "config"):
        # DAG files are checked by a user without rights, who reads what they import; nobody else gets into the home.
        mode = 0o755 if folder in ("dags", "plugins") else 0o700
        (home.path / folder).mkdir(mode=mode, parents=True, exist_ok=True)
    # Copied, so that every process that uses the home finds it: Airflow puts this folder on its search path.
    connections = Path(__file__).with_name("sqlite.py").read_text(encoding="utf-8")
    _write_private(home.path / "config" / "embedded_sqlite.py", connections)
    _write_private(home.config, CONFIG_HEADER + _as_ini(_sections(wishes, _kept_secrets(home))))
    login = _login(wishes, environ)
    _write_private(home.login, json.dumps(login.__dict__, indent=2) + "\n")
    return login


def child_environment(home: Home, environ: Mapping[str, str]) -> dict[str, str]:
    """Everything that the caller's environment says, and which home to use."""
    child = {**environ, "AIRFLOW_HOME": str(home.path), "AIRFLOW_CONFIG": str(home.config)}
    # Without bytecode every start of every process would compile this project again.
    child.pop("PYTHONDONTWRITEBYTECODE", None)
    if is_sqlite(environ):
        for name in ("connect_args", "connect_args_async"):
            child.setdefault(f"AIRFLOW__DATABASE__SQL_ALCHEMY_{name.upper()}", f"embedded_sqlite.{name}")
    return child


def base_path(environ: Mapping[str, str]) -> str:
    """The path below which Airflow answers, where `[api] base_url` was given one."""
    return urlsplit(environ.get("AIRFLOW__API__BASE_URL", "")).path.rstrip("/")


def is_sqlite(environ: Mapping[str, str]) -> bool:
    """Tell whether the metadata database is a SQLite file, as it is where nothing else is said."""
    names = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD")
    given = next((environ[name] for name in names if name in environ), "sqlite:")
    return given.startswith("sqlite")


def _sections(wishes: Wishes, secret: Mapping[str, str]) -> dict[str, dict[str, str]]:
    home, url = wishes.home.path, f"http://127.0.0.1:{wishes.port}"
    return {
        "core": {
            "executor": "LocalExecutor",
            # LocalExecutor forks that many workers when it starts; Airflow's 32 are made for larger machines.
            "parallelism": "8",
            "test_connection": "Enabled",
            "load_examples": str(wishes.examples),
            "dags_folder": f"{home}/dags",
            "plugins_folder": f"{home}/plugins",
            "fernet_key": secret["fernet_key"],
            "simple_auth_manager_users": "admin:admin",
            "simple_auth_manager_passwords_file": f"{home}/passwords.json",
            "execution_api_server_url": f"{url}/execution/",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home}/airflow.db"},
        "logging": {"base_log_folder": f"{home}/logs"},
        "api": {
            "host": "127.0.0.1",
            "port": str(wishes.port),
            "workers": "1",
            "base_url": url,
            "secret_key": secret["secret_key"],
        },
        "api_auth": {"jwt_secret": secret["jwt_secret"]},
        "rest_api": {
            "deploy_enabled": "True",
            "allow_weak_sandbox": "True",
            "test_enabled": "True",
            "reveal_enabled": "True",
            "upload_roots": f"dags={home}/dags,files={home}/files",
            "components_enabled": ",".join(COMPONENTS),
        },
    }


def _kept_secrets(home: Home) -> dict[str, str]:
    """The home's keys: made once, since stored connections and issued tokens depend on them."""
    path = home.path / "secrets.json"
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    fresh = {
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "jwt_secret": secrets.token_urlsafe(64),
        "secret_key": secrets.token_urlsafe(64),
    }
    kept = {**fresh, **known}
    if kept != known:
        _write_private(path, json.dumps(kept, indent=2) + "\n")
    return kept


def _login(wishes: Wishes, environ: Mapping[str, str]) -> Login:
    url = f"http://127.0.0.1:{wishes.port}"
    if environ.get("AIRFLOW__CORE__AUTH_MANAGER", SIMPLE_AUTH_MANAGER) != SIMPLE_AUTH_MANAGER:
        return Login(url, None, None)
    users = environ.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "admin:admin").split(",")
    roles = dict(user.strip().split(":")[:2] for user in users)
    username = next((name for name, role in roles.items() if role.lower() == "admin"), next(iter(roles)))
    default = str(wishes.home.path / "passwords.json")
    path = Path(environ.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", default))
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    passwords = {**{name: secrets.token_urlsafe(12) for name in roles}, **known}
    if passwords != known:
        _write_private(path, json.dumps(passwords) + "\n")
    return Login(url, username, passwords[username])


def _as_ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, readable by its owner alone from the first moment on."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(
        os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
