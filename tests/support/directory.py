"""A directory of one's own (OpenLDAP's `slapd`): made in a folder, open to the loopback address, ended by its id."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmark import processes

from tests.support import daemons

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
READER, READERS_PASSWORD = f"cn=reader,{SUFFIX}", "reader-password"
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "{suffix}"
rootdn "{reader}"
rootpw {password}
directory {folder}
"""
ROOT_ENTRIES = f"""
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people
"""
PERSON = """
dn: uid={name},{people}
objectClass: inetOrgPerson
uid: {name}
cn: {name}
givenName: {name}
sn: Test
mail: {name}@example.com
userPassword: {password}
"""


def require() -> None:
    """Skip the test that asks where OpenLDAP or python-ldap is not installed; where `CI` is set it fails."""
    missing = []
    if daemons.find("slapd") is None:
        missing.append("slapd (on Debian: apt-get install slapd)")
    if find_spec("ldap") is None:
        missing.append("python-ldap (uv pip install -r requirements-ldap.lock)")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"missing: {', '.join(missing)}")


@contextmanager
def running(folder: Path, people: Mapping[str, str]) -> Iterator[str]:
    """Serve a directory of people, given with their passwords, and give its URL."""
    require()
    configuration, entries = folder / "slapd.conf", folder / "entries.ldif"
    (folder / "data").mkdir()
    configuration.write_text(
        CONFIGURATION.format(
            suffix=SUFFIX, reader=READER, password=READERS_PASSWORD, folder=folder / "data"
        ).strip()
    )
    persons = (PERSON.format(name=name, people=PEOPLE, password=people[name]) for name in people)
    entries.write_text("\n".join([ROOT_ENTRIES, *persons]))
    subprocess.run(
        [daemons.program("slapadd"), "-f", str(configuration), "-l", str(entries)],
        check=True,
        capture_output=True,
    )
    port, log = processes.free_port(), folder / "slapd.log"
    url = f"ldap://127.0.0.1:{port}"
    # With -d it stays in the foreground.
    server = processes.start([daemons.program("slapd"), "-f", str(configuration), "-h", url, "-d", "0"], log)
    try:
        daemons.wait(server, port, log)
        yield url
    finally:
        processes.stop(server)
