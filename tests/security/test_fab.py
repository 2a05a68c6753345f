"""Flask-AppBuilder as the auth manager: its users log in, and its permissions hold."""

from __future__ import annotations

import pytest

from tests.support import forged_tokens, under_manager

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return under_manager.told(tmp_path_factory.mktemp("fab"), "fab", "tests.security.fab", is_covered=True)


def test_users_log_in_and_inactive_ones_do_not(found):
    logins = {name: status for name, status in found.items() if name.startswith("login ")}
    assert logins == {
        "login fab_admin": 200,
        "login fab_viewer": 200,
        "login fab_gone": 401,
        "login fab_one_dag": 200,
        "login fab_leaving": 200,
    }


def test_who_is_wrong_is_not_told_about_what(found):
    assert found["wrong fab_admin"] == found["wrong ghost"] == [401, "The username or the password is wrong."]
    assert found["wrong "][0] == 400


def test_permissions_are_flask_appbuilders(found):
    assert (found["other fab_admin"], found["change fab_admin"]) == (200, 200)
    assert (found["other fab_viewer"], found["change fab_viewer"]) == (200, 403)
    assert (found["other fab_one_dag"], found["change fab_one_dag"]) == (403, 403)
    assert found["dags fab_one_dag"] == 1
    assert found["dags fab_admin"] == found["dags fab_viewer"] > 1


def test_who_is_calling_and_what_they_may_are_flask_appbuilders_to_tell(found):
    every = ["deploy", "files", "components", "test", "reveal"]
    assert found["me fab_admin"] == ["fab_admin", "FabAuthManager", ["Admin"], every]
    assert found["me fab_one_dag"] == ["fab_one_dag", "FabAuthManager", ["OneDag"], []]
    assert found["review fab_viewer"] == [True, True]
    assert found["review fab_one_dag"] == [True, False]


def test_every_kind_of_token_works(found):
    assert (found["refresh"], found["airflow"], found["header"]) == (200, 200, 401)


def test_every_forged_token_is_rejected(found):
    assert found["forged"] == forged_tokens.REJECTED


def test_ldap_has_to_be_configured(found):
    assert found["ldap"] == 403


def test_the_old_login_knows_them_as_well(found):
    *answers, gone = found["old login"]
    assert answers == [
        [200, ["access_token", "refresh_token"]],
        [403, {"message": "The provider 'ldap' is not configured in Flask-AppBuilder."}],
        [400, {"message": "Provider x not supported"}],
        *[[200, ["access_token"]]] * 2,
    ]
    status, told = gone
    assert (status, told["msg"].startswith("Error loading the user ")) == (401, True)


def test_only_active_users_are_found_by_name(found):
    assert found["names"] == [True, False, False]


def test_every_refusal_takes_one_hash_and_one_write_whoever_exists(found):
    assert found["work"].keys() >= {"fab_viewer", "nobody", "fab_gone", "fab_federated"}
    assert {name: work for name, work in found["work"].items() if work != [1, 1]} == {}


def test_the_hash_for_unknown_names_is_of_the_method_of_real_ones(found):
    assert found["method before"] == found["method without users"]
    assert found["method before"].startswith("scrypt:")
    assert found["method"] == "pbkdf2:sha256:1000"


def test_a_user_who_has_two_names_has_one_count_of_guesses(found):
    assert found["two names"] == [401, 401, 401, 401, 200]


@pytest.mark.parametrize("what", ["role", "user"])
def test_what_is_taken_away_is_gone_within_five_seconds(found, what):
    """Flask-AppBuilder's own memory of users lasts for half a minute."""
    taken = found["taken away"]
    assert taken["before"] == [200, 200]
    assert taken[what].keys() == {"ours", "airflow's"}
    assert max(taken[what].values()) < 5.5
