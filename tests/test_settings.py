"""Settings: defaults, types, and every fault in one line of its own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from airflow_rest_api.sandbox.addresses import Opening
from airflow_rest_api.settings import COMPONENTS, HeaderToken, Settings, SettingsError, load

SHA = hashlib.sha256(b"x").hexdigest()


def reading(sections, **given):
    """The settings of a configuration: `[rest_api]` from the names, other sections whole."""
    options = {"rest_api": given, **sections}
    return lambda section, name: options.get(section, {}).get(name)


def loaded(sections=None, pool_size=0, **given):
    return load(reading(sections or {}, **given), pool_size=pool_size)


def faults(sections=None, pool_size=0, **given):
    with pytest.raises(SettingsError) as caught:
        loaded(sections, pool_size, **given)
    assert str(caught.value) == "; ".join(caught.value.faults)
    assert not any("\n" in fault for fault in caught.value.faults)
    return caught.value.faults


class TestDefaults:
    def test_nothing_set_is_the_defaults(self):
        assert loaded() == Settings()

    def test_the_defaults_are_the_safe_ones(self):
        settings = Settings()
        risky = (
            *("deploy_enabled", "allow_weak_sandbox", "test_enabled", "reveal_enabled"),
            *("components_enabled", "upload_roots", "http_tokens", "test_connection_allowed_hosts"),
        )
        assert not any(getattr(settings, name) for name in risky)
        assert settings.validate_responses
        assert (settings.worker_threads, settings.access_token_minutes, settings.refresh_token_days) == (
            12,
            15,
            30,
        )
        assert (settings.max_body_kib, settings.max_dag_file_kib, settings.max_upload_mib) == (4096, 1024, 50)
        assert settings.max_archive_kib == 16384
        assert (settings.legacy_enabled, settings.legacy_dialect) == (True, "auto")

    def test_an_empty_value_is_none(self):
        empty = dict.fromkeys(
            ("deploy_enabled", "max_body_kib", "legacy_dialect", "http_token", "upload_roots"), " "
        )
        assert loaded(**empty) == Settings()

    def test_secrets_are_not_shown(self):
        settings = loaded(jwt_secret="s" * 32, http_token="ci:user:token-value")
        assert "ssss" not in repr(settings)
        assert "token-value" not in repr(settings)


class TestValues:
    @pytest.mark.parametrize(
        "name", ["deploy_enabled", "test_enabled", "reveal_enabled", "legacy_enabled", "validate_responses"]
    )
    def test_a_switch_has_two_positions(self, name):
        for text in ("True", "true", "t", "1", "yes", "ON"):
            assert getattr(loaded(**{name: text}), name) is True
        for text in ("False", "f", "0", "no", "Off"):
            assert getattr(loaded(**{name: text}), name) is False
        assert faults(**{name: "maybe"}) == [f"[rest_api] {name}: 'maybe' is neither True nor False"]

    @pytest.mark.parametrize(
        ("name", "least", "most"),
        [
            ("access_token_minutes", 1, 1440),
            ("refresh_token_days", 1, 365),
            ("max_dag_file_kib", 1, 1024**2),
            ("max_archive_kib", 1, 1024**2),
            ("max_upload_mib", 1, 1024**2),
            ("max_body_kib", 1, 1024**2),
            ("worker_threads", 1, 1000),
        ],
    )
    def test_a_number_has_bounds(self, name, least, most):
        for number in (least, most):
            assert getattr(loaded(**{name: f" {number} "}), name) == number
        for number in (least - 1, most + 1, -5):
            assert faults(**{name: str(number)}) == [
                f"[rest_api] {name}: {number} is not between {least} and {most}"
            ]
        for text in ("ten", "1.5", "0x10", "1e3"):
            assert faults(**{name: text}) == [f"[rest_api] {name}: '{text}' is not a whole number"]

    def test_threads_leave_three_connections_free(self):
        assert loaded(pool_size=15).worker_threads == 12
        assert loaded(pool_size=0, worker_threads="1000").worker_threads == 1000
        (fault,) = faults(pool_size=15, worker_threads="13")
        assert fault.startswith("[rest_api] worker_threads: 13 threads need more database connections")
        assert "at most 12" in fault
        assert faults(pool_size=5)

    @pytest.mark.parametrize("dialect", ["auto", "ebay", "clairvoyant"])
    def test_a_dialect_is_one_of_three(self, dialect):
        assert loaded(legacy_dialect=dialect).legacy_dialect == dialect
        assert faults(legacy_dialect=dialect.upper())

    def test_a_short_secret_is_refused_without_being_told(self):
        assert loaded(jwt_secret="é" * 16).jwt_secret == "é" * 16
        (fault,) = faults(jwt_secret="hunter2")
        assert fault == "[rest_api] jwt_secret: is shorter than 32 bytes"

    def test_components_are_named_by_their_names(self):
        assert loaded(components_enabled=",".join(COMPONENTS)).components_enabled == set(COMPONENTS)
        assert loaded(components_enabled=" scheduler , ").components_enabled == {"scheduler"}
        said = faults(components_enabled="scheduler,webserver,worker")
        assert [fault.split("'")[1] for fault in said] == ["webserver", "worker"]

    def test_upload_roots_are_pairs(self):
        roots = loaded(upload_roots=" dags = /opt/dags ,files=/srv/a=b").upload_roots
        assert roots == {"dags": Path("/opt/dags"), "files": Path("/srv/a=b")}

    @pytest.mark.parametrize(
        "entry", ["/opt/dags", "dags=", "=/opt", "dags=opt/dags", "dags=./x", "a=~/dags"]
    )
    def test_an_upload_root_needs_a_name_and_an_absolute_path(self, entry):
        assert faults(upload_roots=entry) == [
            f"[rest_api] upload_roots: '{entry}' is not name=/absolute/path"
        ]

    def test_an_upload_roots_name_is_there_once(self):
        assert faults(upload_roots="a=/x,a=/y") == ["[rest_api] upload_roots: the name 'a' is there twice"]

    def test_hosts_that_tests_may_dial_are_hosts_and_networks(self):
        text = " localhost:5432 ,10.0.0.0/8,[::1]:80,"
        found = loaded(test_connection_allowed_hosts=text).test_connection_allowed_hosts
        assert found == tuple(map(Opening.read, ("localhost:5432", "10.0.0.0/8", "[::1]:80")))
        assert faults(test_connection_allowed_hosts="a b,localhost,10.0.0.1/8") == [
            f"[rest_api] test_connection_allowed_hosts: '{entry}' is not a host, an address or a network,"
            " with :port or without"
            for entry in ("a b", "10.0.0.1/8")
        ]

    def test_all_faults_are_found_at_once(self):
        said = faults(deploy_enabled="x", max_body_kib="y", legacy_dialect="z", jwt_secret="w")
        assert [fault.split()[1] for fault in said] == [
            "deploy_enabled:",
            "legacy_dialect:",
            "jwt_secret:",
            "max_body_kib:",
        ]


class TestHeaderTokens:
    @pytest.mark.parametrize(
        ("text", "token"),
        [
            ("value", HeaderToken("token-1", "bot", "value")),
            ("ci:user:value", HeaderToken("ci", "user", "value")),
            (f"sha256:{SHA}", HeaderToken("token-1", "bot", f"sha256:{SHA}")),
            (f"ci:user:sha256:{SHA.upper()}", HeaderToken("ci", "user", f"sha256:{SHA}")),
        ],
    )
    def test_a_token_has_a_value_and_perhaps_a_name_and_a_user(self, text, token):
        assert loaded(http_token=text, http_token_user="bot").http_tokens == (token,)

    def test_several_are_told_apart_by_commas(self):
        tokens = loaded(http_token=f"a, ci:user:b ,sha256:{SHA}", http_token_user="bot").http_tokens
        assert [(token.name, token.user) for token in tokens] == [
            ("token-1", "bot"),
            ("ci", "user"),
            ("token-3", "bot"),
        ]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("value", "the token 'token-1' acts as nobody: set http_token_user, or name:user:value"),
            ("user:value", "token 1 is not [name:user:]value"),
            ("a:b:c:value", "token 1 is not [name:user:]value"),
            ("ci:user:", "the token 'ci' is empty"),
            ("ci:user:sha256:abc", "the token 'ci' is not sha256: and 64 hexadecimal digits"),
            (f"ci:user:sha256:{'g' * 64}", "the token 'ci' is not sha256: and 64 hexadecimal digits"),
            ("ci:user:a,ci:user:b", "two tokens have the same name"),
        ],
    )
    def test_another_shape_is_refused(self, text, said):
        assert faults(http_token=text) == [f"[rest_api] http_token: {said}"]

    def test_no_fault_tells_a_value(self):
        for text in (
            "secret-value",
            "user:secret-value",
            "a:b:c:secret-value",
            "ci:user:sha256:secret-value",
        ):
            assert "secret-value" not in " ".join(faults(http_token=text))

    @pytest.mark.parametrize("section", ["rest_api_plugin", "webserver"])
    def test_the_old_plugins_token_is_read(self, section):
        old = {section: {"rest_api_plugin_expected_http_token": "old"}}
        assert loaded(old, http_token_user="bot").http_tokens == (HeaderToken("token-1", "bot", "old"),)
        assert "acts as nobody" in faults(old)[0]
        new = loaded(old, http_token="new", http_token_user="bot").http_tokens
        assert [token.value for token in new] == ["new"]

    def test_the_old_plugins_none_is_none(self):
        old = {"rest_api_plugin": {"rest_api_plugin_expected_http_token": "None"}}
        assert loaded(old).http_tokens == ()

    def test_the_old_plugins_newer_place_wins(self):
        old = {
            "rest_api_plugin": {"rest_api_plugin_expected_http_token": "newer"},
            "webserver": {"rest_api_plugin_expected_http_token": "older"},
        }
        assert [token.value for token in loaded(old, http_token_user="bot").http_tokens] == ["newer"]

    def test_the_name_of_the_header_has_an_old_place_too(self):
        old = {"rest_api_plugin": {"rest_api_plugin_http_token_header_name": "X-Old"}}
        assert loaded().http_token_header == "rest_api_plugin_http_token"
        assert loaded(old).http_token_header == "X-Old"
        assert loaded(old, http_token_header="X_New").http_token_header == "X_New"

    @pytest.mark.parametrize("name", ["X Token", "X:Token", "Tökén", "--", "a\tb"])
    def test_a_header_has_a_name_of_letters_digits_and_dashes(self, name):
        assert faults(http_token_header=name) == [
            f"[rest_api] http_token_header: '{name}' is not a header's name"
        ]
