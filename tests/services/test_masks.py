"""Masks: what is shown is what Airflow shows, and a mask that comes back is never stored."""

from __future__ import annotations

import json
import time

import pytest
from airflow._shared.secrets_masker import mask_secret, secrets_masker

from airflow_rest_api.services import masks
from airflow_rest_api.services.masks import MaskedValue


@pytest.fixture
def masker():
    """Airflow's masker, which forgets afterwards what it was taught."""
    known = secrets_masker._secrets_masker()
    before = set(known.patterns), known.replacer
    yield
    known.patterns, known.replacer = before


NESTED = json.dumps({"user": "ada", "password": "from-long-ago", "deep": [{"token": "t0ken-of-ada"}, 1]})
SHOWN = {"user": "ada", "password": "***", "deep": [{"token": "***"}, 1]}


class TestWhatIsShown:
    @pytest.mark.parametrize(
        ("key", "text", "shown"),
        [
            ("colour", "green", "green"),
            ("api_key", "green", "***"),
            ("colour", None, None),
            ("colour", "", ""),
            ("colour", "null", "null"),
            ("colour", "12", "12"),
            ("api_key", '{"a": "b", "n": 1}', '{"a": "***", "n": 1}'),
        ],
    )
    def test_of_a_variable(self, key, text, shown):
        assert masks.variable(key, text) == shown

    def test_of_json_in_a_variable_and_in_an_extra(self):
        assert json.loads(masks.variable("settings", NESTED)) == SHOWN
        assert json.loads(masks.extra(NESTED)) == SHOWN

    def test_of_an_extra_that_is_no_json_nothing(self):
        assert (masks.extra("no JSON"), masks.extra(""), masks.extra(None)) == ("***", "", None)

    def test_of_a_password_nothing(self):
        assert (masks.password("x"), masks.password(""), masks.password(None)) == ("***", "***", None)

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            *(
                ("colour", "green"),
                ("secret_x", "green"),
                ("colour", '["a"]'),
                ("token", '["a", {"b": "c"}]'),
            ),
            *(("colour", "NaN"), ("passphrase", '"text"'), ("colour", '"text"'), ("api_key", "12")),
            ("api_key", "null"),
        ],
    )
    def test_is_what_airflow_shows(self, key, text):
        from airflow.api_fastapi.core_api.datamodels.variables import VariableResponse

        theirs = VariableResponse(key=key, value=text, description=None, is_encrypted=True, team_name=None)
        assert masks.variable(key, text) == theirs.val


class TestLearning:
    def test_what_is_learned_stands_in_no_text_any_more(self, masker):
        masks.learn(["word/that+is-learned", "four", "airflow", ""])
        shown = masks.extra(
            json.dumps({"a": "x word/that+is-learned", "b": "word/that%2Bis-learned", "c": "four airflow"})
        )
        assert json.loads(shown) == {"a": "x ***", "b": "***", "c": "four airflow"}

    def test_a_thousand_are_learned_in_no_time(self, masker):
        # Airflow's masker takes a minute.
        begin = time.process_time()
        masks.learn(f"word-number-{number}." for number in range(1000))
        masks.learn(["another-word"])
        assert time.process_time() - begin < 10
        assert masks.extra('{"a": "word-number-999. and another-word"}') == '{"a": "*** and ***"}'


class TestWhatIsKept:
    @pytest.mark.parametrize(
        ("new", "stored"),
        [("***", "blue"), ("green", "green"), ("blue", "blue"), ("a *** in words", "a *** in words")],
    )
    def test_of_a_variable(self, new, stored):
        assert masks.kept_variable("api_key", new, "blue") == stored

    def test_what_was_shown_leaves_what_is_stored_untouched(self):
        odd = '{"password":   "from-long-ago"}'
        assert masks.kept_variable("settings", masks.variable("settings", odd), odd) == odd
        assert masks.kept_extra(masks.extra(odd), odd) == odd

    def test_a_mask_inside_of_json_stands_for_the_leaf_that_is_stored(self):
        changed = json.dumps(SHOWN | {"user": "grace"})
        kept = json.loads(NESTED) | {"user": "grace"}
        assert json.loads(masks.kept_variable("settings", changed, NESTED)) == kept
        assert json.loads(masks.kept_extra(changed, NESTED)) == kept

    def test_so_does_a_mask_within_a_text_that_is_sent_back_as_it_was_shown(self):
        mask_secret("word-that-airflow-knows")
        old = {
            "uri": "a://b:word-that-airflow-knows@c",
            "list": ["x", {"y": "word-that-airflow-knows"}],
            "n": 1,
        }
        shown = json.loads(masks.extra(json.dumps(old)))
        assert shown == {"uri": "a://b:***@c", "list": ["x", {"y": "***"}], "n": 1}
        changed = {**shown, "list": [*shown["list"], "z"], "n": 2}
        assert json.loads(masks.kept_extra(json.dumps(changed), json.dumps(old))) == {
            **old,
            "list": [*old["list"], "z"],
            "n": 2,
        }

    def test_so_does_one_for_a_password_that_another_process_has_masked(self):
        old, new = '{"a": "b:pass/word-of-ours@c", "d": "pass%2Fword"}', '{"a": "b:***@c", "n": 1}'
        kept = masks.kept_extra(new, old, "pass/word-of-ours")
        assert json.loads(kept or "") == {"a": "b:pass/word-of-ours@c", "n": 1}

    def test_of_a_password(self):
        assert masks.kept_password("***", "old") == "old"
        assert masks.kept_password("new", "old") == "new"
        assert masks.kept_password(None, "old") is None

    def test_of_an_extra(self):
        assert masks.kept_extra(None, NESTED) is None
        assert masks.kept_extra("***", NESTED) == NESTED
        assert masks.kept_extra('{"a":1}', NESTED) == '{"a":1}'

    @pytest.mark.parametrize("old", [None, "blue", '{"other": 1}', '{"colour": "blue"}'])
    @pytest.mark.parametrize("new", ['{"password": "***"}', '["***"]', '{"a": {"b": ["***"]}}', '"***"'])
    def test_a_mask_that_stands_for_nothing_is_refused(self, new, old):
        with pytest.raises(MaskedValue):
            masks.kept_variable("colour", new, old)
        with pytest.raises(MaskedValue):
            masks.kept_extra(new, old)

    def test_so_is_one_that_is_buried(self):
        buried = "[" * 800 + '"***"' + "]" * 800
        with pytest.raises(MaskedValue):
            masks.kept_variable("colour", buried, None)
        with pytest.raises(MaskedValue):
            masks.kept_extra(buried, buried.replace("***", "xyz"))

    def test_so_is_one_where_nothing_is_stored(self):
        for keep in (
            masks.kept_password,
            masks.kept_extra,
            lambda new, old: masks.kept_variable("k", new, old),
        ):
            with pytest.raises(MaskedValue):
                keep("***", None)
