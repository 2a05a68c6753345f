"""What the tests of services share: a file that is parsed when a test says so."""

from __future__ import annotations

import pytest

from tests.support import parser


@pytest.fixture
def parse(tmp_path, restored_database):
    """`parse(text, seconds=1)`: do what a DAG processor does when it has parsed the file for so long."""

    def work(text, seconds=0.5, file=parser.FILE):
        (tmp_path / file).write_text(text)
        parser.parse(tmp_path, file, seconds)

    return work
