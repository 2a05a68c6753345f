"""The settings of this service: section `[rest_api]`, read once, typed, and checked all at once.

Where they come from, `services/configuration.py` knows; this module is given a function to read with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path

from airflow_rest_api.sandbox.addresses import Opening

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

# The least that a secret of our own has to have, and one of Airflow's, which makes them of 16 random bytes.
SECRET_BYTES, AIRFLOWS_SECRET_BYTES = 32, 16
_AIRFLOWS_SECRETS = (("api_auth", "jwt_secret"), ("api", "secret_key"), ("core", "fernet_key"))
# Headers that mean something to a server, to a proxy or to this service.
_TAKEN_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection"),
        *(
            "content-encoding",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "expect",
            "forwarded",
            "host",
        ),
        *(
            "idempotency-key",
            "if-match",
            "if-none-match",
            "origin",
            "proxy-authorization",
            "range",
            "referer",
        ),
        *("te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via", "x-forwarded-for"),
        *("x-forwarded-host", "x-forwarded-prefix", "x-forwarded-proto", "x-real-ip", "x-request-id"),
    }
)

Option = Callable[[str, str], "str | None"]


class SettingsError(Exception):
    """One or more settings are wrong; ``faults`` has one line for each.

    ``settings`` are those with what could be read of them: good for looking for further faults alone.
    """

    def __init__(self, faults: list[str], settings: Settings | None = None) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        self.settings = settings or Settings()


@dataclass(frozen=True)
class HeaderToken:
    """A token accepted in a header: ``value`` clear or `sha256:<hex>`, acting as ``user``; ``name`` for the audit."""

    name: str
    user: str
    value: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the token."""
        if self.value.startswith("sha256:"):
            return bytes.fromhex(self.value.removeprefix("sha256:"))
        return hashlib.sha256(self.value.encode()).digest()


@dataclass(frozen=True)
class Settings:
    """Everything that `[rest_api]` sets, with its defaults (`design` table "Settings")."""

    deploy_enabled: bool = False
    upload_roots: Mapping[str, Path] = field(default_factory=dict)
    allow_weak_sandbox: bool = False
    test_enabled: bool = False
    reveal_enabled: bool = False
    test_connection_allowed_hosts: tuple[Opening, ...] = ()
    components_enabled: frozenset[str] = frozenset()
    legacy_enabled: bool = True
    legacy_dialect: str = "auto"
    http_tokens: tuple[HeaderToken, ...] = ()
    http_token_header: str = "rest_api_plugin_http_token"
    jwt_secret: str | None = field(default=None, repr=False)
    access_token_minutes: int = 15
    refresh_token_days: int = 30
    max_dag_file_kib: int = 1024
    max_archive_kib: int = 16384
    max_upload_mib: int = 50
    max_body_kib: int = 4096
    operation_days: int = 7
    worker_threads: int = 12
    validate_responses: bool = True

    @property
    def accepted_token_header(self) -> str | None:
        """The header that carries a token; None if no token is configured, and the header is ignored."""
        return self.http_token_header if self.http_tokens else None


def load(option: Option, *, pool_size: int = 0, given: Iterable[str] = ()) -> Settings:
    """Read the settings with ``option(section, name)``; raises `SettingsError` with every fault found.

    ``pool_size`` is the number of database connections of this process, 0 for no bound. ``given`` are the names that
    somebody has set: a switch with a typing error in its name must not be taken for one that is left alone.
    """
    reader = _Reader(option)
    reader.faults += unknown(given)
    settings = Settings(
        deploy_enabled=reader.boolean("deploy_enabled", default=False),
        upload_roots=reader.roots("upload_roots"),
        allow_weak_sandbox=reader.boolean("allow_weak_sandbox", default=False),
        test_enabled=reader.boolean("test_enabled", default=False),
        reveal_enabled=reader.boolean("reveal_enabled", default=False),
        test_connection_allowed_hosts=reader.openings("test_connection_allowed_hosts"),
        components_enabled=reader.components("components_enabled"),
        legacy_enabled=reader.boolean("legacy_enabled", default=True),
        legacy_dialect=reader.choice("legacy_dialect", DIALECTS),
        http_tokens=reader.tokens(),
        http_token_header=reader.header(),
        jwt_secret=reader.secret("jwt_secret"),
        access_token_minutes=reader.integer("access_token_minutes", 15, 1, 1440),
        refresh_token_days=reader.integer("refresh_token_days", 30, 1, 365),
        max_dag_file_kib=reader.integer("max_dag_file_kib", 1024, 1, 1024 * 1024),
        max_archive_kib=reader.integer("max_archive_kib", 16384, 1, 1024 * 1024),
        max_upload_mib=reader.integer("max_upload_mib", 50, 1, 1024 * 1024),
        max_body_kib=reader.integer("max_body_kib", 4096, 1, 1024 * 1024),
        operation_days=reader.integer("operation_days", 7, 1, 365),
        worker_threads=reader.threads("worker_threads", 12, pool_size),
        validate_responses=reader.boolean("validate_responses", default=True),
    )
    if reader.faults:
        raise SettingsError(reader.faults, settings)
    return settings


def names() -> list[str]:
    """Return the names of all options of the section."""
    own = [entry.name for entry in fields(Settings) if entry.name != "http_tokens"]
    return [*own, "http_token", "http_token_user"]


def unknown(given: Iterable[str]) -> Iterator[str]:
    """Yield a line for each name that is no option of the section."""
    known = names()
    for name in sorted(set(given) - set(known)):
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        yield f"[{SECTION}] {name}: there is no such setting{hint}"


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
        if value is None:
            self._airflows_secret()
        elif len(value.encode()) < SECRET_BYTES:
            self._fault(name, f"is shorter than {SECRET_BYTES} bytes")
        places = [f"[{section}] {other}" for section, other in _AIRFLOWS_SECRETS]
        same = [place for place, secret in zip(places, self._airflows(), strict=True) if secret == value]
        if value is not None and same:
            self._fault(name, f"is the same as {' and '.join(same)}: it has to be a secret of its own")
        return value

    def _airflows(self) -> list[str | None]:
        return [self._option(section, name) for section, name in _AIRFLOWS_SECRETS]

    def _airflows_secret(self) -> None:
        """Look at the secret that ours is derived from then."""
        secret = self._option("api_auth", "jwt_secret")
        if secret and len(secret.encode()) < AIRFLOWS_SECRET_BYTES:
            self.faults.append(
                f"[api_auth] jwt_secret: is shorter than {AIRFLOWS_SECRET_BYTES} bytes, and signs this service's"
                " tokens as well"
            )

    def components(self, name: str) -> frozenset[str]:
        names = self._list(name)
        for unknown in (entry for entry in names if entry not in COMPONENTS):
            self._fault(name, f"'{unknown}' is none of {', '.join(COMPONENTS)}")
        return frozenset(names)

    def openings(self, name: str) -> tuple[Opening, ...]:
        return tuple(opening for entry in self._list(name) if (opening := self._opening(name, entry)))

    def _opening(self, name: str, entry: str) -> Opening | None:
        try:
            return Opening.read(entry)
        except ValueError:
            self._fault(name, f"'{entry}' is not a host, an address or a network, with :port or without")
            return None

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
        elif name.lower().replace("_", "-") in _TAKEN_HEADERS:
            self._fault("http_token_header", f"'{name}' is a header with a meaning of its own")
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
        read = [self._token(number, entry) for number, entry in enumerate(entries, start=1)]
        found = tuple(token for token in read if token)
        if len({token.name for token in found}) < len(found):
            self._fault("http_token", "two tokens have the same name")
        if len({token.digest for token in found}) < len(found):
            self._fault("http_token", "two tokens have the same value, so nobody can tell who calls")
        return found

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
