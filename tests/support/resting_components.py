"""A server whose components rest instead of running: `python -m tests.support.resting_components serve …`.

The components' interpreter is replaced by a program that sleeps, so that fuzzing may start them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from unittest import mock

PROGRAM = "#!/bin/sh\nexec sleep 600\n"

if __name__ == "__main__":
    from airflow_rest_api import cli
    from airflow_rest_api.services.components import recipe

    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "rest")
        program.write_text(PROGRAM)
        program.chmod(0o700)
        with mock.patch.object(recipe, "INTERPRETER", str(program)):
            sys.exit(cli.main(sys.argv[1:]))
