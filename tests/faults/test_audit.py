"""The audit is complete (`scripts/faults audit` makes more calls), and the check for it can fail."""

from __future__ import annotations

import pytest

from airflow_rest_api.security.audit import Audit
from airflow_rest_api.web.guard import Recorder
from tests.faults import audit


@pytest.mark.in_process
@pytest.mark.timeout(180)
class TestAudit:
    def test_every_change_of_a_random_run_is_on_record(self, metadata_database, restored_database):
        figures = audit.run(full=False)
        assert figures["calls"] == audit.QUICK
        assert figures["changes with an unwritable log"] == 0
        assert figures["accepted"] > 10
        assert figures["refused, one outcome"] > 10
        assert figures["refused, counted"] > 10

    def test_an_outcome_that_is_left_out_is_noticed(self, metadata_database, restored_database, monkeypatch):
        monkeypatch.setattr(Audit, "outcome", lambda *_, **__: None)
        with pytest.raises(AssertionError, match=r"1 intents, outcomes \[\]"):
            audit.run(full=False)

    def test_refusals_that_nobody_records_are_noticed(
        self, metadata_database, restored_database, monkeypatch
    ):
        async def nothing(*_):
            pass

        monkeypatch.setattr(Recorder, "refused", nothing)
        with pytest.raises(AssertionError, match=r"0 intents, outcomes \[\]"):
            audit.run(full=False)

    def test_an_effect_without_an_intent_is_noticed(self, metadata_database, restored_database, monkeypatch):
        monkeypatch.setattr(audit, "random_calls", lambda *_: iter(()))
        monkeypatch.setattr(Audit, "intent", lambda *_: None)
        with pytest.raises(AssertionError):
            audit.run(full=False)
