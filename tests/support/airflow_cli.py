"""Airflow's command line: many commands in one process, since each start of it takes seconds of a core.

`python -m tests.support.airflow_cli STEPS.json RESULT.json`, where a step is the words of a command, or `wipe`, or
`stored`: all that is stored, of which the result is a list.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support import stored_objects


def main(steps: list[Any]) -> list[Any]:
    """Carry out the steps and return what was stored at each `stored`."""
    from airflow.cli.cli_parser import get_parser

    parser, found = get_parser(), []
    for step in steps:
        if step == "wipe":
            stored_objects.wipe()
        elif step == "stored":
            found.append(stored_objects.stored())
        else:
            arguments = parser.parse_args(step)
            arguments.func(arguments)
    return found


if __name__ == "__main__":
    given, result = map(Path, sys.argv[1:])
    result.write_text(json.dumps(main(json.loads(given.read_text()))))
