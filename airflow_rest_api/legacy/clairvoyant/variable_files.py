"""Variable files: what `airflow variables` imported from the disk of its machine and exported to it.

Any path of the machine would do then. Here it has to be below an upload root, and the caller has to be allowed what the
operations on files and the exchange of variables ask for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from airflow_rest_api.legacy.calls import Call
from airflow_rest_api.legacy.failures import Printed
from airflow_rest_api.services import file
from airflow_rest_api.services.caller import Caller
from airflow_rest_api.services.exchange import exchange_file, variable_exchange
from airflow_rest_api.services.exchange.import_refusals import FileUnreadable, ImportRejected
from airflow_rest_api.services.files import absolute_paths, confined, roots
from airflow_rest_api.services.files.absolute_paths import OutsideRoots
from airflow_rest_api.services.files.uploads import Upload

_MISSING, _INVALID = "Missing variables file.\n", "Invalid variables file.\n"


@dataclass(frozen=True)
class VariableFiles:
    """The files of one call, which are below ``upload_roots``."""

    call: Call
    caller: Caller
    upload_roots: Mapping[str, Path]

    def ask_to_import(self, path: str) -> None:
        """Raise `Denied` unless the caller may read the file and create variables."""
        if place := self._asked(path, "get_file", "import_variables"):
            place.require_readable(self.caller)

    def imported(self, path: str) -> str:
        """Import a file, and return what the command would have printed; raises `Printed`."""
        upload = self._upload(path)
        query = {"format": "json", "on_conflict": "overwrite", "dry_run": False}
        try:
            outcome = variable_exchange.import_variables(query, upload=upload, caller=self.caller)
        except FileUnreadable as fault:
            raise Printed(fault.detail, _INVALID) from None
        except ImportRejected as fault:
            reasons = [f"{entry['pointer']}: {entry['detail']}" for entry in fault.members["errors"]]
            raise Printed("\n".join([fault.detail, *reasons])) from None
        done = outcome["total_entries"] - outcome["skipped"]
        return f"{done} of {outcome['total_entries']} variables successfully updated.\n"

    def _upload(self, path: str) -> Upload:
        try:
            root, below = absolute_paths.located(self.upload_roots, path)
            found = file.get_file(root, below, caller=self.caller, upload_roots=self.upload_roots)
        except (OutsideRoots, confined.PathNotFound) as fault:
            raise Printed(fault.detail, _MISSING) from None
        with closing(found), io.BufferedReader(found.file) as reader:
            # One byte more than may be imported is enough to see that there is too much.
            content = reader.read(exchange_file.MOST_BYTES + 1)
        return _in_memory(found.name, content)

    def ask_to_export(self, path: str) -> None:
        """Raise `Denied` unless the caller may write the file and read variables."""
        if place := self._asked(path, "upload_file", "export_variables"):
            place.require_changeable(self.caller)

    def exported(self, path: str) -> str:
        """Export to a file, and return what the command would have printed; raises `Printed`."""
        try:
            root, below = absolute_paths.located(self.upload_roots, path)
        except OutsideRoots as fault:
            raise Printed(
                f"PermissionError: [Errno 13] Permission denied: {path!r}\n{fault.detail}"
            ) from None
        query = {"format": "json", "include_secrets": False, "reason": None, "skip_undecryptable": False}
        text = variable_exchange.export_variables(query, caller=self.caller).text
        upload = _in_memory(below, text.encode())
        body = {"file": upload, "root": root, "path": below, "force": True}
        file.upload_file(body, caller=self.caller, upload_roots=self.upload_roots)
        return f"{len(json.loads(text))} variables successfully exported to {path}\n"

    def _asked(self, path: str, *operations: str) -> roots.Place | None:
        """Return the place of a file, None outside of the roots, if the caller may call these operations at all."""
        for operation_id in operations:
            self.call.require(operation_id, {})
        try:
            root, below = absolute_paths.located(self.upload_roots, path)
        except OutsideRoots:
            return None
        return roots.place(self.upload_roots, root, below)


def _in_memory(name: str, content: bytes) -> Upload:
    return Upload(name, len(content), sha256(content).hexdigest(), io.BytesIO(content))
