"""Why `kerberos` cannot be started on an installation, and what its options may be."""

from __future__ import annotations

import pytest

from airflow_rest_api.services.components.kerberos_component import KERBEROS
from airflow_rest_api.services.components.recipe import ComponentOptionRejected


@pytest.fixture
def secured(monkeypatch, tmp_path):
    """An Airflow that is secured with Kerberos, on a host that has its programs."""
    for name in ("kinit", "klist"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.touch(0o755)
    keytab = tmp_path / "keytabs" / "airflow.keytab"
    keytab.parent.mkdir()
    keytab.touch()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("AIRFLOW__CORE__SECURITY", "kerberos")
    monkeypatch.setenv("AIRFLOW__KERBEROS__KEYTAB", str(keytab))
    assert KERBEROS.missing() is None
    return tmp_path


def test_what_an_installation_lacks_is_told(monkeypatch, secured):
    monkeypatch.setenv("AIRFLOW__KERBEROS__KEYTAB", "airflow.keytab")
    assert "[kerberos] keytab" in KERBEROS.missing()
    monkeypatch.setenv("AIRFLOW__KERBEROS__KEYTAB", str(secured / "none"))
    assert "[kerberos] keytab" in KERBEROS.missing()
    (secured / "bin" / "klist").unlink()
    assert "klist" in KERBEROS.missing()
    (secured / "bin" / "kinit").unlink()
    assert "kinit_path" in KERBEROS.missing()
    monkeypatch.setenv("AIRFLOW__CORE__SECURITY", "")
    assert KERBEROS.missing() == "[core] security is not 'kerberos' in Airflow's configuration."


def test_a_keytab_is_a_file_beside_the_configured_one(secured):
    folder = secured / "keytabs"
    (folder / "other.keytab").touch()
    assert KERBEROS.argv(KERBEROS.whole({"keytab": f"{folder}/other.keytab"}))[1:] == (
        "-m",
        "airflow",
        "kerberos",
        f"--keytab={folder}/other.keytab",
    )
    (folder / "link").symlink_to("/etc/passwd")
    for keytab in ("/etc/passwd", f"{folder}/../bin/kinit", f"{folder}/link", f"{folder}/none", str(folder)):
        with pytest.raises(ComponentOptionRejected):
            KERBEROS.whole({"keytab": keytab})


@pytest.mark.parametrize(
    "principal", ["airflow", "airflow/host.example.com", "airflow@REALM", "a-b/_HOST@R.X"]
)
def test_a_principal_is_one_word(principal):
    wishes = KERBEROS.whole({"principal": principal, "one_time": True})
    assert KERBEROS.argv(wishes)[1:] == ("-m", "airflow", "kerberos", "--one-time", principal)


@pytest.mark.parametrize("principal", ["-V", "a b", "a@b@c", "/x", "@R", "a\n", "", "a/b/c", "--one-time"])
def test_nothing_else_is_a_principal(principal):
    with pytest.raises(ComponentOptionRejected):
        KERBEROS.whole({"principal": principal})
