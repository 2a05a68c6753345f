"""Lines of JSON that are followed."""

from __future__ import annotations

import json

import httpx
import pytest


class Lines:
    """The events of an answer that is followed, as they come."""

    def __init__(self, answer):
        self.answer = answer
        self._lines = answer.iter_lines()
        self.blank = 0

    def next(self):
        while not (line := next(self._lines)).strip():
            self.blank += 1
        return json.loads(line)["event"]

    def until(self, event):
        found = [self.next()]
        while found[-1] != event:
            found.append(self.next())
        return found

    def rest(self):
        return [json.loads(line)["event"] for line in self._lines if line.strip()]

    def until_cut_off(self):
        """The events up to where the answer breaks off."""
        found = []
        with pytest.raises(httpx.RemoteProtocolError):
            self._into(found)
        return found

    def _into(self, found):
        for line in self._lines:
            if line.strip():
                found.append(json.loads(line)["event"])
