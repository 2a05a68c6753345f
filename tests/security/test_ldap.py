"""Logging in with a password that a directory (OpenLDAP) checks, through Flask-AppBuilder."""

from __future__ import annotations

import pytest

from tests.security import ldap_logins
from tests.support import daemons, directory, under_manager

pytestmark = [pytest.mark.slow, pytest.mark.in_process]
CONFIGURATION = """
from flask_appbuilder.const import AUTH_LDAP

AUTH_TYPE = AUTH_LDAP
AUTH_LDAP_SERVER = "{url}"
AUTH_LDAP_SEARCH = "{people}"
AUTH_LDAP_UID_FIELD = "uid"
AUTH_LDAP_BIND_USER = "{reader}"
AUTH_LDAP_BIND_PASSWORD = "{password}"
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE = "Viewer"
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    home, folder = tmp_path_factory.mktemp("ldap"), tmp_path_factory.mktemp("directory")
    with directory.running(folder, ldap_logins.PEOPLE) as url:
        (home / "webserver_config.py").write_text(
            CONFIGURATION.format(
                url=url,
                people=directory.PEOPLE,
                reader=directory.READER,
                password=directory.READERS_PASSWORD,
            )
        )
        settings = {"AIRFLOW__FAB__CONFIG_FILE": str(home / "webserver_config.py")}
        return under_manager.told(
            home, "fab", "tests.security.ldap_logins", settings=settings, is_covered=True
        )


def test_people_of_the_directory_log_in(found):
    assert found["login"] == {"alice": 200, "bob": 200}
    assert (found["may read alice"], found["refresh alice"]) == (200, 200)


def test_they_have_the_role_that_is_given_at_registration(found):
    assert (found["may read bob"], found["may change bob"]) == (200, 403)


def test_nobody_else_does(found):
    malformed = {"a NUL as password", "no password"}
    assert {why: status for why, status in found["refused"].items() if why not in malformed} == dict.fromkeys(
        ldap_logins.REFUSED.keys() - malformed, 401
    )
    assert {found["refused"][why] for why in malformed} <= {400, 401}


def test_users_of_the_database_still_log_in_and_inactive_ones_do_not(found):
    assert (found["of the database"], found["inactive"]) == (200, 401)


def test_all_spellings_that_a_directory_takes_for_one_share_a_count(found):
    assert found["spellings"][:4] == [401] * 4
    assert found["spellings"][-1] == 429


def test_what_is_missing_is_told(monkeypatch):
    monkeypatch.setattr(daemons, "PLACES", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install slapd"):
        directory.require()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install slapd"):
        directory.require()
