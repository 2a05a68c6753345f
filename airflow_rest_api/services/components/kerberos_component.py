"""Kerberos component: keeps a ticket with which tasks log in, and renews it, as `airflow kerberos` does.

The command runs `kinit` with a keytab every `[kerberos] reinit_frequency` seconds, into the cache `[kerberos] ccache`.
Any readable file could be named as a keytab, and `kinit` tells what is wrong with it; so one has to lie in the folder
of the keytab that Airflow is configured with.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from airflow.configuration import conf

from airflow_rest_api.services.components.options import Option, switch, text
from airflow_rest_api.services.components.recipe import Recipe, Wishes
from airflow_rest_api.supervision.registry import Supervised

SECTION = "kerberos"
# `name`, `name/host.example.com`, `name@REALM`: what none of `kinit`'s options looks like.
PRINCIPAL = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)?(@[A-Za-z0-9_.-]+)?$"
KEYTAB = r"^(/[A-Za-z0-9_.-]+)+$"
_SECONDS = 10.0


def _is_bounded(wishes: Wishes) -> bool:
    return wishes.get("one_time") is True


def _missing() -> str | None:
    if conf.get("core", "security", fallback="") != "kerberos":
        return "[core] security is not 'kerberos' in Airflow's configuration."
    if shutil.which(conf.get_mandatory_value(SECTION, "kinit_path")) is None:
        return "There is no [kerberos] kinit_path on this host (on Debian: apt-get install krb5-user)."
    if shutil.which("klist") is None:
        return "There is no klist on this host, which tells whether a ticket is valid (on Debian: krb5-user)."
    if not _keytab().is_absolute() or not _keytab().is_file():
        return "[kerberos] keytab in Airflow's configuration is not the whole path of a file on this host."
    return None


def _fault(wishes: Wishes) -> tuple[str, str] | None:
    if "keytab" not in wishes:
        return None
    wished = Path(wishes["keytab"])
    if ".." in wished.parts or wished.parent != _keytab().parent:
        return "keytab", "has to lie in the folder of [kerberos] keytab in Airflow's configuration"
    if not wished.is_file() or wished.is_symlink():
        return "keytab", "names no file"
    return None


def _keytab() -> Path:
    return Path(conf.get_mandatory_value(SECTION, "keytab"))


def _is_ready(supervised: Supervised, _wishes: Wishes) -> bool:
    """Tell whether the cache holds a valid ticket that was stored since the process began."""
    cache = conf.get_mandatory_value(SECTION, "ccache")
    try:
        stored = Path(cache).stat().st_mtime
    except OSError:
        return False
    if supervised.started_at is None or stored < supervised.started_at.timestamp():
        return False
    return _is_valid(cache)


def _is_valid(cache: str) -> bool:
    command = [shutil.which("klist") or "klist", "-s", "-c", cache]
    try:
        return (
            subprocess.run(command, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _principal() -> Option:
    """Return the option that is an argument without a flag; no name of one begins with a dash."""
    named = text("", PRINCIPAL, 255)
    return Option(named.schema, named.fits, lambda value: (str(value),))


KERBEROS = Recipe(
    "kerberos",
    "Renews the Kerberos ticket with which tasks log in",
    ("airflow", "kerberos"),
    {
        "keytab": text("--keytab", KEYTAB, 1024),
        "one_time": switch("--one-time"),
        "verbose": switch("--verbose"),
        "principal": _principal(),
    },
    _is_ready,
    missing=_missing,
    fault=_fault,
    ends=_is_bounded,
)
