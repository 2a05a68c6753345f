"""Calls: one request of an old client, and the two forms in which the plugins answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any

from airflow_rest_api.legacy.catalogue import COMMANDS, OldCall
from airflow_rest_api.services import instants, masks

Json = dict[str, Any]
Ask = Callable[[str, Mapping[str, Any], Any], None]

EBAY, CLAIRVOYANT = "ebay", "clairvoyant"
_DATES = ("execution_date", "exec_date")
# Arguments that may hold a secret, and are echoed only as whoever knows them says: a call may be refused before.
_SECRETIVE = frozenset({"broker_api", "conn_extra", "conn_uri", "set", "task_params", "value"})


def _asks_nobody(*asked: Any) -> None:
    raise LookupError(f"nobody may be asked about {asked[0]}")


@dataclass
class Call:
    """What was sent, by which name and in which dialect; ``query`` and ``form`` hold the first value of each name."""

    dialect: str
    name: str = ""
    old: OldCall | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    begun: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    # Each argument that was sent, by the contract's name, as the old dispatcher found it.
    values: Mapping[str, Any] = field(default_factory=dict)
    # Whether it has passed the checks of the dispatcher.
    is_begun: bool = False
    # The run that the call has created or that it is about, once that is known.
    run_id: str | None = None
    ask: Ask = field(default=_asks_nobody, repr=False)
    _shown: dict[str, str] = field(default_factory=dict, repr=False)
    _spelled: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def subject(self) -> Json:
        """Return the logical date that the call names, and the run."""
        found: Json = {} if self.run_id is None else {"run_id": self.run_id}
        for name in _DATES:
            with suppress(ValueError):
                if isinstance(text := self.values.get(name), str):
                    found["logical_date"] = instants.parse_freely(text)
        return found

    def require(self, operation_id: str, arguments: Mapping[str, Any], body: Any = None) -> None:
        """Raise `Denied` unless the caller may call this operation of version 1 with these arguments."""
        self.ask(operation_id, arguments, body)

    def show(self, argument: str, text: str = masks.MASK) -> None:
        """Echo this text in place of what was sent as an argument: a secret has come in that must not go out."""
        self._shown[argument] = text

    def spell(self, option: str, *parts: str) -> None:
        """Tell an option of the command that was sent in parts: `cmd=set&key=k&value=v` for `--set k v`."""
        self._spelled[option] = parts

    def flat(self, **keys: Any) -> Json:
        """Return eBay's answer to a call that succeeded."""
        return {**keys, "status": "success"}

    def text(self, output: str, warning: str | None = None) -> Json:
        """Return Clairvoyant's answer to a call that the plugin carried out itself."""
        return self._envelope(200, "OK", output=output, warning=warning)

    def printed(self, stdout: str, stderr: str = "", command: str | None = None) -> Json:
        """Return Clairvoyant's answer to a call that ran a command of Airflow 1: what the command would have printed.

        Arguments without a meaning are named in ``stderr``. ``command`` is told in place of the one that the
        arguments make.
        """
        lines = [stderr] if stderr else []
        lines += [
            f"The argument '{name}' has no meaning on Airflow 3 and was ignored." for name in self._ignored()
        ]
        output = {"stderr": "\n".join(lines), "stdin": "", "stdout": stdout}
        return self._envelope(200, "OK", output=output, airflow_cmd=command or self.command())

    def failed(self, status: int, sentence: str) -> Json:
        """Return the answer to a call that was refused."""
        if self.dialect == EBAY:
            return {"error": sentence}
        # Which part of a text is masked tells what is a secret here, to callers who were permitted nothing.
        self._shown.clear()
        return self._envelope(status, "ERROR", output=sentence)

    def token_failed(self, sentence: str) -> Json:
        """Return the answer to a call without the right header token, which tells nothing of the call."""
        answer = self.failed(403, sentence)
        return {name: value for name, value in answer.items() if not name.endswith("arguments")}

    @property
    def prints(self) -> bool:
        """Whether Clairvoyant's plugin had run a command by now, of which a failure was no failure of the call."""
        is_command = self.old is not None and self.old.kind in COMMANDS
        return self.is_begun and is_command and self.dialect == CLAIRVOYANT

    def command(self) -> str:
        """Return the command of Airflow 1 that the arguments make: options, fixed ones, and positional values."""
        if self.old is None:
            return f"airflow {self.name}"
        options = list(self._options())
        positional = [
            self.told(entry.name, self.values[entry.name])
            for entry in sorted(self.old.arguments, key=lambda entry: entry.position or 0)
            if entry.position and self.values.get(entry.name)
        ]
        return " ".join(["airflow", self.name, *options, *self.old.fixed, *positional])

    def _options(self) -> Iterator[str]:
        assert self.old is not None
        for entry in self.old.arguments:
            value = self.values.get(entry.name)
            parts = self._spelled.get(entry.name, ())
            if not (value or parts) or entry.position or entry.is_file or entry.is_part:
                continue
            yield f"--{entry.name}"
            if value is not True:
                sent = [(part, self.values.get(part)) for part in parts or (entry.name,)]
                yield from (self.told(name, text) for name, text in sent if text)

    def _ignored(self) -> Iterator[str]:
        for entry in self.old.arguments if self.old else ():
            if entry.is_ignored and self.values.get(entry.name):
                yield entry.name

    def _envelope(self, code: int, status: str, **keys: Any) -> Json:
        answer = {
            **{name: value for name, value in keys.items() if value},
            "arguments": self._echoed(self.query),
            "post_arguments": self._echoed(self.form),
            "call_time": _rfc_1123(self.begun),
            "response_time": _rfc_1123(datetime.now(timezone.utc)),
            "http_response_code": code,
            "status": status,
        }
        # Flask sorted the keys at that time.
        return dict(sorted(answer.items()))

    def _echoed(self, sent: Mapping[str, str]) -> Json:
        return {name: self.told(name, value) for name, value in sent.items()}

    def told(self, name: str, text: str) -> str:
        """Return what is told of an argument, known or not; an empty one has no secret."""
        if name in self._shown:
            return self._shown[name]
        return masks.MASK if text and (name in _SECRETIVE or masks.is_sensitive(name)) else text


def _rfc_1123(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)
