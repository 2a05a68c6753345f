"""Compiled contracts: everything that is made of a contract at the start, and is asked at each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from airflow_rest_api.legacy import catalogue
from airflow_rest_api.legacy.catalogue import OldCall
from airflow_rest_api.web import contract, routing, schemas
from airflow_rest_api.web.answers import AnswerWriter
from airflow_rest_api.web.arguments import ArgumentReader
from airflow_rest_api.web.bodies import BodyReader
from airflow_rest_api.web.bridge import Workers
from airflow_rest_api.web.contract import BASE_PATHS, Document, Operation
from airflow_rest_api.web.exchange import Exchange
from airflow_rest_api.web.faults import Faults, StartError
from airflow_rest_api.web.forms import FormReader
from airflow_rest_api.web.gate import Gate
from airflow_rest_api.web.limits import most_bytes_of_file
from airflow_rest_api.web.resources import Resources
from airflow_rest_api.web.validation import passing_map, validator_map

# The contract of the old calls.
OLD_CALLS = "legacy.yaml"


class CompiledContract:
    """One contract with everything compiled from it."""

    def __init__(self, name: str, document: Document, resources: Resources) -> None:
        """Compile; raises `StartError` with what is wrong with any of the operations."""
        self.name = name
        self.document = _named_header(document, resources.settings.http_token_header)
        self.base_path = BASE_PATHS[name]
        self.operations = contract.operations(document)
        self.readers: dict[str, ArgumentReader] = {}
        self.bodies: dict[str, BodyReader] = {}
        self.forms: dict[str, FormReader] = {}
        self.endpoints: dict[str, Callable[[], Any]] = {}
        # Those of the old plugins, whose arguments are read before the request comes to Connexion.
        self.old_calls: dict[str, OldCall] = {}
        if name == OLD_CALLS:
            self.old_calls = catalogue.of(document, self.operations)
        self._gate = Gate(resources.audit)
        components = schemas.json_components(document)
        faults = Faults()
        for operation in self.operations:
            faults.attempt(partial(self._compile, operation, components, resources), None)
        faults.refuse()

    @classmethod
    def read(cls, name: str, resources: Resources) -> CompiledContract:
        """Read the contract from its files and compile it."""
        return cls(name, contract.load(name), resources)

    def validators(self, workers: Workers) -> dict[str, Any]:
        """Return what Connexion reads requests with."""
        if self.old_calls:
            return passing_map(
                media
                for one in self.operations
                for media in one.definition.get("requestBody", {}).get("content", {})
            )
        return validator_map(self.readers, self.bodies, self.forms, partial(workers.run, self.admit_unread))

    def admit_unread(self, exchange: Exchange) -> None:
        """Raise what is raised of a caller who may not call the operation, before its form is read."""
        operation = next(one for one in self.operations if one.operation_id == exchange.operation_id)
        self._gate.admit_unread(operation, exchange)

    def _compile(self, operation: Operation, components: Mapping[str, Any], resources: Resources) -> None:
        if self.old_calls:
            old = self.old_calls[operation.path.removeprefix("/")]
            unasked = list(routing.refuse_unasked(operation, old.names))
            if unasked:
                raise StartError(unasked)
            self.endpoints[operation.operation_id] = self._endpoint(operation, components, resources, old)
            return
        unsupported = list(routing.refuse_unsupported(self.document, operation))
        if unsupported:
            raise StartError(unsupported)
        name, definition = operation.operation_id, operation.definition
        self.readers[name] = ArgumentReader(self.document, operation, components)
        if operation.body_type == contract.FORM:
            most = partial(most_bytes_of_file, resources.settings, operation.body_limit)
            self.forms[name] = FormReader(self.document, definition["requestBody"], components, most)
        elif "requestBody" in definition:
            self.bodies[name] = BodyReader(definition["requestBody"], components)
        self.endpoints[name] = self._endpoint(operation, components, resources, self.readers[name])

    def _endpoint(
        self,
        operation: Operation,
        components: Mapping[str, Any],
        resources: Resources,
        reader: routing.Arguments,
    ) -> Callable[[], Any]:
        validate = resources.settings.validate_responses
        writer = AnswerWriter(
            self.document,
            operation,
            components,
            resources.redactor,
            keyed_hash=resources.state_hash,
            on_invalid=partial(resources.metrics.count_invalid_response, operation.operation_id),
            validate=validate,
        )
        endpoint = routing.Endpoint(
            operation, reader, writer, self._gate, resources.idempotency, resources.by_name()
        )
        return endpoint.answer


def _named_header(document: Document, name: str) -> Document:
    """Put the configured name of the header token into the contract."""
    scheme = document["components"].get("securitySchemes", {}).get("httpToken")
    if scheme is not None:
        document["components"]["securitySchemes"]["httpToken"] = {**scheme, "name": name}
    return document
