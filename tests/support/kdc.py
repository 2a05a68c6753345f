"""A Kerberos realm of one's own: its database and its KDC in a folder, on the loopback address, ended by its id."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from benchmark import processes

from tests.support import daemons

REALM, PRINCIPAL = "AIRFLOW.TEST", "airflow/tests"
TOOLS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit", "klist")
PACKAGES = "krb5-kdc krb5-admin-server krb5-user"
# No host and no name is looked up: the loopback address is all there is.
CLIENT = """
[libdefaults]
default_realm = {realm}
dns_lookup_realm = false
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
ticket_lifetime = {life}
renew_lifetime = 1h
[realms]
{realm} = {{
    kdc = 127.0.0.1:{port}
}}
"""
# Without `max_renewable_life` no ticket can be renewed, which `airflow kerberos` does at once.
SERVER = """
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/kadm5.acl
    max_life = {life}
    max_renewable_life = 1h
}}
"""


@dataclass(frozen=True)
class Realm:
    """A realm, as a client sees it: its configuration, and the keytab of the one principal."""

    configuration: Path
    keytab: Path

    def end_of_ticket(self, cache: Path) -> datetime | None:
        """Until when the ticket of a cache is valid, by `klist`; None where there is no valid one."""
        environment = {**os.environ, "KRB5_CONFIG": str(self.configuration), "LC_ALL": "C"}
        command = [daemons.program("klist"), "-c", str(cache)]
        if subprocess.run([*command, "-s"], env=environment, check=False).returncode:
            return None
        listed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        assert f"Default principal: {PRINCIPAL}@{REALM}" in listed, listed
        (line,) = [line for line in listed.splitlines() if line.endswith(f"krbtgt/{REALM}@{REALM}")]
        return datetime.strptime(" ".join(line.split()[2:4]), "%m/%d/%y %H:%M:%S")


def require() -> None:
    """Skip the test that asks where Kerberos is not installed; where `CI` is set it fails."""
    missing = [name for name in TOOLS if daemons.find(name) is None]
    if missing:
        why = f"missing: {', '.join(missing)} (on Debian: apt-get install {PACKAGES})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)


@contextmanager
def running(folder: Path, life: str = "10m") -> Iterator[Realm]:
    """Serve a realm whose tickets live so long."""
    require()
    port, log = processes.free_port(), folder / "kdc.log"
    values = {"realm": REALM, "folder": folder, "port": port, "life": life}
    realm = Realm(folder / "krb5.conf", folder / "airflow.keytab")
    realm.configuration.write_text(CLIENT.format(**values))
    (folder / "kdc.conf").write_text(SERVER.format(**values))
    variables = {"KRB5_CONFIG": str(realm.configuration), "KRB5_KDC_PROFILE": str(folder / "kdc.conf")}
    environment = {**os.environ, **variables}
    for command in (
        ["kdb5_util", "create", "-s", "-W", "-P", "master-password"],
        ["kadmin.local", "-q", f"addprinc -randkey {PRINCIPAL}"],
        ["kadmin.local", "-q", f"ktadd -k {realm.keytab} {PRINCIPAL}"],
    ):
        name, *words = command
        subprocess.run([daemons.program(name), *words], env=environment, check=True, capture_output=True)
    # With -n it stays in the foreground.
    command = [daemons.program("krb5kdc"), "-n", "-P", str(folder / "kdc.pid")]
    server = processes.start(command, log, env=environment)
    try:
        daemons.wait(server, port, log)
        yield realm
    finally:
        processes.stop(server)
