"""The self-check: each bad configuration is one clear line, all of them are told at once, and nothing is served."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from airflow_rest_api.security import auth_manager
from airflow_rest_api.services import configuration
from airflow_rest_api.settings import COMPONENTS
from airflow_rest_api.storage import manager
from airflow_rest_api.web.app import StartError, create_application
from tests.support import canaries, environment, template
from tests.web import small
from tests.web.small import empty, operation, parameter

SECRET = canaries.JWT_SECRET
GUARDED = {"security": [{"bearer": []}]}
TYPO = {"resource": "dag", "method": "GET", "id_from": "path.dagid"}
PATHS = {"/a": {"get": operation("get_a")}}
HANDLERS = {"get_a": empty, "takes_b": lambda b: b}
SAME_SECRET = "[rest_api] jwt_secret: is the same as [api_auth] jwt_secret: it has to be a secret of its own"
TOO_MANY_THREADS = (
    "[rest_api] worker_threads: 99 threads need more database connections than Airflow's pool has: at most 12"
    " (sql_alchemy_pool_size + sql_alchemy_max_overflow - 3)"
)
FORM, JSON = "multipart/form-data", "application/json"
FLAT = {"schema": {"type": "object", "additionalProperties": False}}
LISTED = {**FLAT["schema"], "properties": {"b": {"type": "array", "items": {"type": "string"}}}}
# Settings of `[rest_api]`, and the line that each gets.
SETTINGS = {
    "a typing error in a switch": (
        {"deploy_enable": "True"},
        "[rest_api] deploy_enable: there is no such setting; did you mean deploy_enabled?",
    ),
    "a command for a secret that Airflow would not run": (
        {"jwt_secret_cmd": "cat secret"},
        "[rest_api] jwt_secret_cmd: there is no such setting; did you mean jwt_secret?",
    ),
    "a setting that nobody knows": (
        {"colour": "blue"},
        "[rest_api] colour: there is no such setting",
    ),
    "a switch with a third position": (
        {"deploy_enabled": "maybe"},
        "[rest_api] deploy_enabled: 'maybe' is neither True nor False",
    ),
    "a number that is none": (
        {"max_body_kib": "many"},
        "[rest_api] max_body_kib: 'many' is not a whole number",
    ),
    "a number beyond its bounds": (
        {"access_token_minutes": "0"},
        "[rest_api] access_token_minutes: 0 is not between 1 and 1440",
    ),
    "a dialect that nobody speaks": (
        {"legacy_dialect": "french"},
        "[rest_api] legacy_dialect: 'french' is none of auto, ebay, clairvoyant",
    ),
    "more threads than connections": (
        {"worker_threads": "99"},
        TOO_MANY_THREADS,
    ),
    "a component that does not exist": (
        {"components_enabled": "webserver"},
        f"[rest_api] components_enabled: 'webserver' is none of {', '.join(COMPONENTS)}",
    ),
    "a short secret": ({"jwt_secret": "short"}, "[rest_api] jwt_secret: is shorter than 32 bytes"),
    "Airflow's own secret": (
        {"jwt_secret": SECRET},
        SAME_SECRET,
    ),
    "a header token that is nobody's": (
        {"http_token": "value"},
        "[rest_api] http_token: the token 'token-1' acts as nobody: set http_token_user, or name:user:value",
    ),
    "a header token of an unknown user": (
        {"http_token": "ci:ghost:value"},
        "[rest_api] http_token: the token 'ci' acts as 'ghost', who is no active user",
    ),
    "two header tokens of one name": (
        {"http_token": "ci:op:one,ci:op:two"},
        "[rest_api] http_token: two tokens have the same name",
    ),
    "two header tokens of one value": (
        {"http_token": f"ci:op:same,cd:admin:sha256:{hashlib.sha256(b'same').hexdigest()}"},
        "[rest_api] http_token: two tokens have the same value, so nobody can tell who calls",
    ),
    "a header with another meaning": (
        {"http_token_header": "Content_Type"},
        "[rest_api] http_token_header: 'Content_Type' is a header with a meaning of its own",
    ),
    "an upload root without a name": (
        {"upload_roots": "/srv/files"},
        "[rest_api] upload_roots: '/srv/files' is not name=/absolute/path",
    ),
    "an upload root that is not there": (
        {"upload_roots": "files=/no/such/folder"},
        "[rest_api] upload_roots: the root 'files' does not exist",
    ),
    "an upload root that is a file": (
        {"upload_roots": f"files={__file__}"},
        "[rest_api] upload_roots: the root 'files' is not a folder",
    ),
    "the whole file system as an upload root": (
        {"upload_roots": "files=/"},
        "[rest_api] upload_roots: the root 'files' is the whole file system",
    ),
}
CONTRACTS = {
    "an operation without a handler": (
        {"/a": {"get": operation("nobody_does")}},
        "the operation 'nobody_does' has no handler in airflow_rest_api.handlers.probe",
    ),
    "a handler that does not take a parameter": (
        {"/a": {"get": operation("get_a", parameters=[parameter("c")])}},
        "the handler of 'get_a' does not fit the contract: got an unexpected keyword argument 'c'",
    ),
    "a handler that wants one more": (
        {"/a": {"get": operation("takes_b")}},
        "the handler of 'takes_b' does not fit the contract: missing a required argument: 'b'",
    ),
    "two operations of one name": (
        {"/a": {"get": operation("get_a")}, "/b": {"get": operation("get_a")}},
        "the operationId 'get_a' is there twice",
    ),
    "an operation without a rule": (
        {"/a": {"get": {**operation("get_a"), **GUARDED, "x-airflow-access": None}}},
        "the operation 'get_a' has no x-airflow-access",
    ),
    "a rule about an object that is not there": (
        {"/a": {"get": operation("get_a", **GUARDED, **{"x-airflow-access": [TYPO]})}},
        "the x-airflow-access of 'get_a' has the id_from 'path.dagid', which is unknown",
    ),
    "a rule with a power that does not exist": (
        {
            "/a": {
                "get": operation(
                    "get_a",
                    **GUARDED,
                    **{"x-airflow-access": [{"resource": "power", "power": "fly", "method": "PUT"}]},
                )
            }
        },
        "the x-airflow-access of 'get_a' has the power 'fly', which is unknown",
    ),
    "a parameter that is defined nowhere": (
        {"/a": {"get": operation("get_a", parameters=[{"$ref": "#/components/parameters/No"}])}},
        "the reference '#/components/parameters/No' leads nowhere",
    ),
    "a body of a media type that nobody reads": (
        {"/a": {"post": operation("get_a", body={"type": "object"}, takes="text/csv")}},
        "the operation 'get_a' takes text/csv, which is not read yet",
    ),
    "a body of two media types": (
        {"/a": {"post": {**operation("get_a"), "requestBody": {"content": {FORM: FLAT, JSON: FLAT}}}}},
        "the operation 'get_a' takes bodies of more than one media type",
    ),
    "a limit that is no setting": (
        {"/a": {"post": operation("get_a", **{"x-body-limit": "worker_threads"})}},
        "the operation 'get_a' is limited by 'worker_threads', which is no setting for bodies",
    ),
    "a form that is open": (
        {"/a": {"post": operation("get_a", body={"type": "object"}, takes=FORM)}},
        "the operation 'get_a' takes a form that is no object of known fields, which is not read",
    ),
    "a form with a list in it": (
        {"/a": {"post": operation("get_a", body=LISTED, takes=FORM)}},
        "the operation 'get_a' takes the field 'b', which is not read",
    ),
    "a path that is defined nowhere": (
        {"/a": {"$ref": "paths/a.yaml#/a"}},
        "paths/a.yaml cannot be read",
    ),
}


@pytest.fixture
def faults(monkeypatch, metadata_database):
    """`faults(paths, **settings)`: the lines with which the start is refused."""

    def start(paths=None, **settings):
        with pytest.raises(StartError) as caught:
            small.application(monkeypatch, PATHS if paths is None else paths, HANDLERS, **settings)
        assert str(caught.value) == "; ".join(caught.value.faults)
        return caught.value.faults

    return start


def test_nothing_is_wrong_with_the_ground_that_the_faults_are_put_on(monkeypatch, metadata_database):
    assert small.application(monkeypatch, PATHS, HANDLERS) is not None


@pytest.mark.parametrize("bad", SETTINGS)
def test_a_bad_setting_is_one_line(faults, bad):
    settings, line = SETTINGS[bad]
    assert faults(**settings) == [line]


@pytest.mark.parametrize("bad", CONTRACTS)
def test_a_bad_contract_is_one_line(faults, bad):
    paths, line = CONTRACTS[bad]
    item = next(iter(paths.values()))
    if item.get("get", {}).get("x-airflow-access", ()) is None:
        del item["get"]["x-airflow-access"]
    assert faults(paths) == [line]


def test_everything_that_is_wrong_is_told_at_once(faults):
    paths = {
        "/a": {"get": operation("nobody_does")},
        "/b": {"get": operation("takes_b")},
        "/c": {"get": operation("get_a", **GUARDED, **{"x-airflow-access": [TYPO]})},
    }
    said = faults(
        paths, deploy_enable="True", http_token="ci:ghost:x", upload_roots="files=/", max_body_kib="-1"
    )
    assert [line.split(":")[0] for line in said] == [
        "[rest_api] deploy_enable",
        "[rest_api] max_body_kib",
        "[rest_api] upload_roots",
        "[rest_api] http_token",
        "the operation 'nobody_does' has no handler in airflow_rest_api.handlers.probe",
        "the handler of 'takes_b' does not fit the contract",
        "the x-airflow-access of 'get_a' has the id_from 'path.dagid', which is unknown",
    ]


class TestSecrets:
    @pytest.mark.parametrize(
        ("section", "name"), [("API_AUTH", "JWT_SECRET"), ("API", "SECRET_KEY"), ("CORE", "FERNET_KEY")]
    )
    def test_no_secret_of_airflows_is_ours(self, faults, monkeypatch, section, name):
        secret = "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk="
        for other in ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"):
            monkeypatch.setenv(other, SECRET)
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "dGVzdHMtb25seS1vdGhlcnMtb25seS1vdGhlcnMtb24=")
        monkeypatch.setenv(f"AIRFLOW__{section}__{name}", secret)
        (line,) = faults(jwt_secret=secret)
        assert line.startswith(f"[rest_api] jwt_secret: is the same as [{section.lower()}] {name.lower()}:")
        assert secret not in line

    def test_airflows_own_may_be_as_short_as_airflow_makes_it(self, faults, monkeypatch):
        monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 16)
        assert small.application(monkeypatch, PATHS, HANDLERS) is not None
        monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 15)
        assert faults() == [
            "[api_auth] jwt_secret: is shorter than 16 bytes, and signs this service's tokens as well"
        ]

    def test_it_does_not_matter_where_a_secret_of_our_own_signs(self, monkeypatch, metadata_database):
        monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "short")
        assert small.application(monkeypatch, PATHS, HANDLERS, jwt_secret="y" * 32) is not None

    def test_none_at_all_is_told_with_everything_else(self, faults, monkeypatch):
        monkeypatch.setattr("airflow_rest_api.security.keys.option", lambda *_: None)
        said = faults({"/a": {"get": operation("nobody_does")}})
        assert [line.split(":")[0] for line in said] == [
            "[api_auth] jwt_secret is not set",
            "the operation 'nobody_does' has no handler in airflow_rest_api.handlers.probe",
        ]


class TestUploadRoots:
    def test_a_folder_beside_airflow_is_fine(self, monkeypatch, tmp_path, metadata_database):
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        roots = f"one={tmp_path / 'one'},two={tmp_path / 'two'}"
        assert small.application(monkeypatch, PATHS, HANDLERS, upload_roots=roots) is not None

    def test_the_folder_of_airflow_itself_is_refused(self, faults, home):
        assert faults(upload_roots=f"files={home}") == [
            "[rest_api] upload_roots: the root 'files' holds Airflow's configuration"
        ]

    @pytest.mark.parametrize("place", ["", "below"])
    def test_the_folder_of_plugins_is_refused(self, faults, home, place):
        (home / "plugins" / place).mkdir(parents=True, exist_ok=True)
        assert faults(upload_roots=f"files={home / 'plugins' / place}") == [
            "[rest_api] upload_roots: the root 'files' holds Airflow's plugins, or is one of their folders"
        ]

    def test_a_folder_above_that_of_plugins_is_refused(self, faults, monkeypatch, tmp_path):
        (tmp_path / "plugins").mkdir()
        monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(tmp_path / "plugins"))
        assert len(faults(upload_roots=f"files={tmp_path}")) == 1

    def test_a_link_does_not_hide_where_it_leads(self, faults, home, tmp_path):
        (tmp_path / "innocent").symlink_to(home)
        assert "holds Airflow's configuration" in faults(upload_roots=f"files={tmp_path / 'innocent'}")[0]

    def test_a_folder_that_cannot_be_written_to_is_refused(self, faults, monkeypatch, tmp_path):
        monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
        assert faults(upload_roots=f"files={tmp_path}") == [
            "[rest_api] upload_roots: the root 'files' cannot be written to"
        ]

    def test_one_root_in_another_is_refused(self, faults, tmp_path):
        (tmp_path / "inner").mkdir()
        for roots in (f"a={tmp_path},b={tmp_path / 'inner'}", f"b={tmp_path / 'inner'},a={tmp_path}"):
            first, second = (entry.split("=")[0] for entry in roots.split(","))
            assert faults(upload_roots=roots) == [
                f"[rest_api] upload_roots: the roots '{first}' and '{second}' overlap"
            ]
        assert "overlap" in faults(upload_roots=f"a={tmp_path},b={tmp_path}")[0]


class TestAuthManagers:
    def test_header_tokens_need_users_that_can_be_looked_up(self, faults, monkeypatch):
        monkeypatch.setattr(auth_manager, "is_simple", lambda: False)
        assert faults(http_token="a:op:one,b:op:two") == [
            "[rest_api] http_token: the auth manager 'SimpleAuthManager' looks no users up by name"
        ]

    def test_a_class_that_is_not_there_ends_the_start_with_what_was_found_before(self, faults, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CORE__AUTH_MANAGER", "nowhere.Manager")
        assert faults(deploy_enabled="x") == [
            "[rest_api] deploy_enabled: 'x' is neither True nor False",
            "[core] auth_manager: the class cannot be imported",
        ]

    @pytest.mark.parametrize("everybody", ["True", "False"])
    def test_that_everybody_is_an_administrator_is_warned_of_and_no_fault(
        self, monkeypatch, caplog, metadata_database, everybody
    ):
        monkeypatch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", everybody)
        told = []
        monkeypatch.setattr("airflow_rest_api.web.app.log.warning", told.append)
        assert small.application(monkeypatch, PATHS, HANDLERS) is not None
        wanted = ["[core] simple_auth_manager_all_admins is set: whoever logs in is an administrator"]
        assert told == (wanted if everybody == "True" else [])


class TestDatabases:
    def test_tables_of_another_release_are_told_with_everything_else(self, faults, monkeypatch):
        monkeypatch.setattr(manager, "_is_current", lambda: False)
        monkeypatch.setattr(manager, "_is_sqlite", lambda: False)
        assert faults(http_token="ci:ghost:x") == [
            "the tables of airflow-rest-api are not up to date: run `airflow-rest-api db migrate`",
            "[rest_api] http_token: the token 'ci' acts as 'ghost', who is no active user",
        ]

    def test_a_database_that_is_away_is_told_once(self, faults, monkeypatch):
        from airflow_rest_api.security import powers
        from airflow_rest_api.services import errors

        def away():
            raise OperationalError("SELECT secret", {}, Exception("at 10.0.0.1"))

        def unavailable():
            raise errors.DatabaseUnavailable

        monkeypatch.setattr(manager, "_is_current", away)
        monkeypatch.setattr(powers, "prepare", unavailable)
        assert faults() == ["Airflow's metadata database ([database] sql_alchemy_conn) does not answer"]


class TestNamesOfSettings:
    def test_those_of_the_file_are_looked_at_as_well(self, faults, monkeypatch):
        conf = configuration.conf
        conf.add_section("rest_api")
        try:
            conf.set("rest_api", "uplod_roots", "files=/srv")
            assert faults() == [
                "[rest_api] uplod_roots: there is no such setting; did you mean upload_roots?"
            ]
        finally:
            conf.remove_section("rest_api")

    def test_those_of_other_sections_are_not(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__REST_API_PLUGIN__REST_API_PLUGIN_EXPECTED_HTTP_TOKEN", "x")
        monkeypatch.setenv("AIRFLOW__REST_API__TEST_ENABLED", "True")
        monkeypatch.delenv("AIRFLOW__REST_API__UPLOAD_ROOTS")
        assert configuration.option_names("rest_api") == {"test_enabled"}

    def test_a_check_that_is_left_out_would_take_the_typing_error_for_nothing(
        self, monkeypatch, metadata_database
    ):
        """The negative control."""
        monkeypatch.setattr(configuration, "option_names", lambda section: frozenset())
        assert small.application(monkeypatch, PATHS, HANDLERS, deploy_enable="True") is not None


@pytest.mark.slow
class TestCommand:
    """The real `airflow-rest-api serve`: status 1, one line each, and no traceback."""

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            (
                {"DEPLOY_ENABLE": "True", "HTTP_TOKEN": "ci:ghost:value", "UPLOAD_ROOTS": "files=/"},
                [
                    "[rest_api] deploy_enable: there is no such setting; did you mean deploy_enabled?",
                    "[rest_api] upload_roots: the root 'files' is the whole file system",
                    "[rest_api] http_token: the token 'ci' acts as 'ghost', who is no active user",
                ],
            ),
            (
                {"JWT_SECRET": SECRET, "HTTP_TOKEN_HEADER": "Cookie"},
                [
                    "[rest_api] http_token_header: 'Cookie' is a header with a meaning of its own",
                    SAME_SECRET,
                ],
            ),
        ],
    )
    def test_it_refuses_to_start(self, tmp_path, settings, said):
        variables = environment.prepare(tmp_path)
        template.copy_to(tmp_path)
        variables |= {f"AIRFLOW__REST_API__{name}": value for name, value in settings.items()}
        covered = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        result = subprocess.run(
            [Path(sys.executable).parent / "airflow-rest-api", "serve", "--port", "1"],
            env=environment.inherited() | variables | covered,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        lines = [line for line in result.stderr.splitlines() if line.startswith("airflow-rest-api: ")]
        assert lines == [f"airflow-rest-api: {line}" for line in said]


def test_the_real_contracts_have_no_fault(metadata_database):
    assert create_application() is not None
