"""Logs: one record is one line, nothing in it is a secret, and no handler is asked to care."""

from __future__ import annotations

import io
import json
import logging
import re
import sys

import httpx
import pytest
import structlog
import uvicorn

from airflow_rest_api.security.redaction import MASK, Redactor
from airflow_rest_api.web import logs
from tests.web import small

SECRET = "the-key-of-this-house"
HOSTILE = "a\r\nERROR forged\x1b[2J\x00\t\x85\x9b\u2028\u2029\u202e\ud800z"
ESCAPED = r"a\r\nERROR forged\x1b[2J\x00\t\x85\x9b\u2028\u2029\u202e\ud800z"
RAW = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\U0010ffff]")
# As deep as modules get, so that only what stands above all of them is enough.
LOG = logging.getLogger("airflow_rest_api.web.probe.of.these.tests")
LOGGERS = ("airflow_rest_api", "connexion", "uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error")


@pytest.fixture(autouse=True)
def fresh_loggers():
    """Loggers as Python makes them; what is installed here, and what uvicorn configures, ends with the test."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    former = [vars(logger).copy() for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.filters, logger.propagate = [], [], True
        logger.setLevel(logging.INFO)
    yield
    for logger, state in zip(loggers, former, strict=True):
        vars(logger).update(state)
        logger.setLevel(state["level"])


@pytest.fixture
def installed():
    logs.install(Redactor([SECRET]), standalone=True)


@pytest.fixture
def written():
    """`written(formatter)`: what a handler of the root's writes from now on, with that formatter."""
    streams = []

    def begin(formatter=None):
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(formatter or logging.Formatter("%(levelname)s %(message)s"))
        logging.getLogger().addHandler(handler)
        streams.append(handler)
        return handler.stream

    yield begin
    for handler in streams:
        logging.getLogger().removeHandler(handler)


def raised(fault, cause=None):
    try:
        raise fault from cause
    except type(fault) as caught:
        return caught


@pytest.mark.usefixtures("installed")
class TestMessages:
    def test_control_characters_are_escaped(self, written):
        stream = written()
        LOG.warning("of %s", HOSTILE)
        assert stream.getvalue() == f"WARNING of {ESCAPED}\n"

    def test_secrets_are_masked(self, written):
        stream = written()
        LOG.warning("of %s", {"key": SECRET})
        LOG.warning(SECRET)
        assert stream.getvalue() == f"WARNING of {{'key': '{MASK}'}}\nWARNING {MASK}\n"

    def test_what_is_harmless_is_not_touched(self, caplog):
        LOG.warning("of %s: ü 100%%", "etl")
        (record,) = caplog.records
        assert (record.msg, record.args, record.getMessage()) == (
            "of %s: ü 100%%",
            ("etl",),
            "of etl: ü 100%",
        )

    def test_a_percent_sign_in_what_was_escaped_stays(self, written):
        stream = written()
        LOG.warning("%s", "100%s\n%d")
        assert stream.getvalue() == "WARNING 100%s\\n%d\n"

    def test_a_message_that_does_not_fit_its_arguments_is_logged_without_them(self, written):
        stream = written()
        LOG.warning("of %d\n", "etl")
        assert stream.getvalue() == "WARNING of %d\n"

    def test_the_handlers_of_a_test_see_what_all_others_see(self, caplog):
        LOG.warning(SECRET)
        assert caplog.messages == [MASK]

    @pytest.mark.parametrize("name", ["connexion.middleware", "uvicorn.error", "uvicorn.asgi"])
    def test_the_frames_below_this_service_are_heard_as_well(self, caplog, name):
        logging.getLogger(name).error("of %s\n", SECRET, extra={"color_message": f"in colour {SECRET}"})
        (record,) = caplog.records
        assert record.getMessage() == f"of {MASK}"
        assert not hasattr(record, "color_message")

    def test_other_loggers_are_nobodys_business(self, caplog):
        logging.getLogger("somebody.elses").warning(SECRET)
        assert caplog.messages == [SECRET]


@pytest.mark.usefixtures("installed")
class TestTracebacks:
    def test_they_have_a_line_for_each_place_and_one_for_the_message(self, written):
        stream = written()
        LOG.error("It failed", exc_info=raised(ValueError(f"{HOSTILE}\n    indented {SECRET}")))
        lines = stream.getvalue().splitlines()
        assert lines[:2] == ["ERROR It failed", "Traceback (most recent call last):"]
        assert lines[2].startswith('  File "')
        assert lines[3] == "    raise fault from cause"
        assert lines[-1] == rf"ValueError: {ESCAPED}\n    indented {MASK}"

    def test_those_of_causes_are_told_too(self, written):
        stream = written()
        LOG.error("It failed", exc_info=raised(KeyError("outer"), raised(ValueError(f"inner\n{SECRET}"))))
        lines = stream.getvalue().splitlines()
        assert rf"ValueError: inner\n{MASK}" in lines
        assert "The above exception was the direct cause of the following exception:" in lines
        assert lines[-1] == "KeyError: 'outer'"

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="groups of exceptions came with Python 3.11")
    def test_those_of_groups_as_well(self, written):
        group = ExceptionGroup("both\nof them", [raised(ValueError("one\nERROR forged")), KeyError(SECRET)])  # noqa: F821
        stream = written()
        LOG.error("It failed", exc_info=raised(group))
        lines = stream.getvalue().splitlines()
        assert r"    | ValueError: one\n    | ERROR forged" in lines
        assert f"    | KeyError: '{MASK}'" in lines
        assert any(line.lstrip(" |").startswith("raise fault") for line in lines)
        assert all(line[0] in " E+T" for line in lines)

    def test_one_that_was_formatted_before_is_formatted_anew(self, written):
        stream = written()
        record = LOG.makeRecord(LOG.name, logging.ERROR, "f", 1, "It failed", (), None)
        record.exc_info = (ValueError, ValueError(SECRET), None)
        record.exc_text = SECRET
        LOG.handle(record)
        assert stream.getvalue() == f"ERROR It failed\nValueError: {MASK}\n"

    def test_there_may_be_none(self, written):
        stream = written()
        LOG.error("Nothing was raised", exc_info=(None, None, None))
        assert stream.getvalue().startswith("ERROR Nothing was raised\n")


@pytest.mark.usefixtures("installed")
class TestAirflowsFormat:
    @pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
    def test_structlog_writes_what_was_made_safe(self, written, as_json):
        from airflow._shared.logging.structlog import structlog_processors

        shared, last, _ = structlog_processors(json_output=as_json, colors=False)
        forms = structlog.stdlib.ProcessorFormatter
        formatter = forms(
            use_get_message=False,
            pass_foreign_args=True,
            foreign_pre_chain=shared,
            processors=[forms.remove_processors_meta, last],
        )
        stream = written(formatter)
        LOG.error("of %s", HOSTILE, exc_info=raised(ValueError(f"{SECRET}\nforged")))
        text = stream.getvalue()
        assert SECRET not in text
        assert not RAW.search(text)
        if as_json:
            assert text.count("\n") == 1
            assert json.loads(text)["event"].startswith(f"of {ESCAPED}\nTraceback")
        else:
            assert rf"ValueError: {MASK}\nforged" in text


class TestInstalling:
    def test_the_latest_application_counts(self, caplog):
        logs.install(Redactor([SECRET]), standalone=True)
        logs.install(Redactor(["another-secret"]), standalone=True)
        for name in ("airflow_rest_api.x", "uvicorn.error"):
            logging.getLogger(name).warning("%s another-secret", SECRET)
        assert caplog.messages == [f"{SECRET} {MASK}"] * 2

    def test_in_airflows_server_uvicorn_is_left_to_airflow(self, caplog):
        logs.install(Redactor([SECRET]), standalone=False)
        logging.getLogger("uvicorn.error").warning(SECRET)
        LOG.warning(SECRET)
        assert caplog.messages == [SECRET, MASK]

    def test_it_survives_that_uvicorn_configures_its_loggers(self, capsys):
        logs.install(Redactor([SECRET]), standalone=True)
        uvicorn.Config(app="none")
        logging.getLogger("uvicorn.error").warning(SECRET)
        logging.getLogger("uvicorn.access").info(
            '%s - "%s %s HTTP/%s" %d', "c:1", "GET", f"/a?{SECRET}", "1.1", 200
        )
        told = capsys.readouterr()
        assert MASK in told.err
        assert '"GET /a HTTP/1.1" 200' in told.out
        assert SECRET not in told.err + told.out

    def test_without_it_all_of_this_would_be_written(self, written):
        stream = written()
        LOG.warning("%s %s", SECRET, HOSTILE.replace("\ud800", ""))
        assert SECRET in stream.getvalue()
        assert "\nERROR forged" in stream.getvalue()
        assert RAW.search(stream.getvalue())


class TestServing:
    @pytest.fixture
    def failing(self, monkeypatch, metadata_database):
        """An application of which one operation fails with the text that it was given."""

        def fail(text=None):
            raise ValueError(text)

        given = [small.parameter("text", type="string")]
        paths = {"/a": {"get": small.operation("get_a", parameters=given)}}
        return small.application(monkeypatch, paths, {"get_a": fail})

    def test_a_request_is_one_line_without_its_query(self, failing, capfd):
        with small.serving(failing, access_log=True, log_level="info") as address:
            httpx.get("http://{}:{}/rest_api/v1/a%0aINFO?text=token-of-mine".format(*address), timeout=30)
            httpx.get("http://{}:{}/rest_api/v1/version?token-of-mine".format(*address), timeout=30)
        told = capfd.readouterr()
        lines = [line for line in told.out.splitlines() if '"GET ' in line]
        assert [line.partition('"')[2] for line in lines] == [
            'GET /rest_api/v1/a%0AINFO HTTP/1.1" 404 Not Found',
            'GET /rest_api/v1/version HTTP/1.1" 404 Not Found',
        ]
        assert "token-of-mine" not in told.out + told.err

    def test_what_a_caller_sent_stays_within_its_line(self, failing, caplog):
        with small.serving(failing) as address:
            url = "http://{}:{}/rest_api/v1/a".format(*address)
            assert httpx.get(url, params={"text": HOSTILE[:-2]}, timeout=30).status_code in (400, 500)
            params = {"text": HOSTILE.replace("\x00", "")[:-2]}
            assert httpx.get(url, params=params, timeout=30).status_code == 500
        text = caplog.text
        assert text.splitlines()[-1] == f"ValueError: {ESCAPED.replace(chr(92) + 'x00', '')[:-7]}"
        assert not RAW.search(text)
