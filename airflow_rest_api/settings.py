"""The settings of this service: section `[rest_api]`, read once, typed, and checked all at once.

Where they come from, `services/configuration.py` knows; this module is given a function to read with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECTION = "rest_api"
COMPONENTS = (
    "scheduler",
    "dag-processor",
    "triggerer",
    "api-server",
    "celery-worker",
    "celery-flower",
    "kerberos",
    "serve-logs",
)
DIALECTS = ("auto", "ebay", "clairvoyant")
# Connections of Airflow's pool that the worker threads leave free, for probes and for Airflow's own work.
RESERVED_CONNECTIONS = 3

Option = Callable[[str, str], "str | None"]


class SettingsError(Exception):
    """One or more settings are wrong; ``faults`` has one line for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class HeaderToken:
    """A token accepted in a header: ``value`` clear or `sha256:<hex>`, acting as ``user``; ``name`` for the audit."""

    name: str
    user: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Settings:
    """Everything that `[rest_api]` sets, with its defaults (`design` table "Settings")."""

    deploy_enabled: bool = False
    upload_roots: Mapping[str, Path] = field(default_factory=dict)
    test_enabled: bool = False
    components_enabled: frozenset[str] = frozenset()
    legacy_enabled: bool = True
    legacy_dialect: str = "auto"
    http_tokens: tuple[HeaderToken, ...] = ()
    http_token_header: str = "rest_api_plugin_http_token"
    jwt_secret: str | None = field(default=None, repr=False)
    access_token_minutes: int = 15
    refresh_token_days: int = 30
    max_dag_file_kib: int = 1024
    max_upload_mib: int = 50
    max_body_kib: int = 256
    worker_threads: int = 12
    validate_responses: bool = True


def load(option: Option, *, pool_size: int = 0) -> Settings:
    """Read the settings with ``option(section, name)``; raises `SettingsError` with every fault found.

    ``pool_size`` is the number of database connections of this process, 0 for no bound.
    """
    reader = _Reader(option)
    settings = Settings(
        deploy_enabled=reader.boolean("deploy_enabled", default=False),
        upload_roots=reader.roots("upload_roots"),
        test_enabled=reader.boolean("test_enabled", default=False),
        components_enabled=reader.components("components_enabled"),
        legacy_enabled=reader.boolean("legacy_enabled", default=True),
        legacy_dialect=reader.choice("legacy_dialect", DIALECTS),
        http_tokens=reader.tokens(),
        http_token_header=reader.header(),
        jwt_secret=reader.secret("jwt_secret"),
        access_token_minutes=reader.integer("access_token_minutes", 15, 1, 1440),
        refresh_token_days=reader.integer("refresh_token_days", 30, 1, 365),
        max_dag_file_kib=reader.integer("max_dag_file_kib", 1024, 1, 1024 * 1024),
        max_upload_mib=reader.integer("max_upload_mib", 50, 1, 1024 * 1024),
        max_body_kib=reader.integer("max_body_kib", 256, 1, 1024 * 1024),
        worker_threads=reader.threads("worker_threads", 12, pool_size),
        validate_responses=reader.boolean("validate_responses", default=True),
    )
    if reader.faults:
        raise SettingsError(reader.faults)
    return settings


class _Reader:
    """Reads single settings and collects what is wrong with them."""

    def __init__(self, option: Option) -> None:
        self._option = option
        self.faults: list[str] = []

    def _fault(self, name: str, text: str) -> None:
        self.faults.append(f"[{SECTION}] {name}: {text}")

    def _text(self, name: str) -> str | None:
        value = self._option(SECTION, name)
        return value.strip() if value and value.strip() else None

    def _list(self, name: str) -> list[str]:
        return [part.strip() for part in (self._text(name) or "").split(",") if part.strip()]

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._text(name)
        if value is None:
            return default
        if value.lower() in ("true", "t", "1", "yes", "on"):
            return True
        if value.lower() not in ("false", "f", "0", "no", "off"):
            self._fault(name, f"'{value}' is neither True nor False")
        return False

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._text(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            self._fault(name, f"'{value}' is not a whole number")
            return default
        if not least <= number <= most:
            self._fault(name, f"{number} is not between {least} and {most}")
        return number

    def threads(self, name: str, default: int, pool_size: int) -> int:
        number = self.integer(name, default, 1, 1000)
        most = pool_size - RESERVED_CONNECTIONS
        if pool_size and number > most:
            self._fault(
                name,
                f"{number} threads need more database connections than Airflow's pool has: at most {most}"
                " (sql_alchemy_pool_size + sql_alchemy_max_overflow - 3)",
            )
        return number

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self._text(name) or allowed[0]
        if value not in allowed:
            self._fault(name, f"'{value}' is none of {', '.join(allowed)}")
        return value

    def secret(self, name: str) -> str | None:
        value = self._text(name)
        if value is not None and len(value.encode()) < 32:
            self._fault(name, "is shorter than 32 bytes")
        return value

    def components(self, name: str) -> frozenset[str]:
        names = self._list(name)
        for unknown in (entry for entry in names if entry not in COMPONENTS):
            self._fault(name, f"'{unknown}' is none of {', '.join(COMPONENTS)}")
        return frozenset(names)

    def roots(self, name: str) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for entry in self._list(name):
            root, _, path = entry.partition("=")
            if not root.strip() or not path.strip() or not Path(path.strip()).is_absolute():
                self._fault(name, f"'{entry}' is not name=/absolute/path")
            elif root.strip() in found:
                self._fault(name, f"the name '{root.strip()}' is there twice")
            else:
                found[root.strip()] = Path(path.strip())
        return found

    def header(self) -> str:
        name = (
            self._text("http_token_header")
            or self._option("rest_api_plugin", "rest_api_plugin_http_token_header_name")
            or "rest_api_plugin_http_token"
        )
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            self._fault("http_token_header", f"'{name}' is not a header's name")
        return name

    def tokens(self) -> tuple[HeaderToken, ...]:
        """Read `http_token`, or the single token in the places where the old plugins kept it."""
        entries = (
            self._list("http_token")
            or [
                value
                for section in ("rest_api_plugin", "webserver")
                if (value := self._option(section, "rest_api_plugin_expected_http_token")) and value != "None"
            ][:1]
        )
        found = [self._token(number, entry) for number, entry in enumerate(entries, start=1)]
        if len({token.name for token in found if token}) < len([token for token in found if token]):
            self._fault("http_token", "two tokens have the same name")
        return tuple(token for token in found if token)

    def _token(self, number: int, entry: str) -> HeaderToken | None:
        head, hashed, digest = entry.partition("sha256:")
        parts = head.rstrip(":").split(":") if hashed else entry.split(":")
        value = f"sha256:{digest.lower()}" if hashed else parts.pop()
        parts = [part for part in parts if part]
        if len(parts) not in (0, 2):
            self._fault("http_token", f"token {number} is not [name:user:]value")
            return None
        name, user = parts if parts else (f"token-{number}", self._text("http_token_user") or "")
        return self._checked(HeaderToken(name, user, value), hashed=bool(hashed))

    def _checked(self, token: HeaderToken, *, hashed: bool) -> HeaderToken | None:
        digest = token.value.removeprefix("sha256:")
        if not token.user:
            self._fault(
                "http_token",
                f"the token '{token.name}' acts as nobody: set http_token_user, or name:user:value",
            )
        elif hashed and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
            self._fault("http_token", f"the token '{token.name}' is not sha256: and 64 hexadecimal digits")
        elif not token.value:
            self._fault("http_token", f"the token '{token.name}' is empty")
        else:
            return token
        return None
