"""The application: the contracts, Connexion and Flask put together, once and eagerly.

Everything that can be wrong (a setting, the contract, a missing handler, tables that are not migrated) is found
here, before the first request; `StartError` says it in one line each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import connexion
from connexion.exceptions import InvalidSpecification
from connexion.middleware.context import ContextMiddleware
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.middleware.security import SecurityMiddleware
from starlette.types import ASGIApp

from airflow_rest_api import settings as settings_module
from airflow_rest_api.legacy.router import LegacyRouter
from airflow_rest_api.security import auth_manager
from airflow_rest_api.security.access_tokens import AccessTokens
from airflow_rest_api.security.audit import Audit
from airflow_rest_api.security.authentication import Authenticator
from airflow_rest_api.security.keys import Keys, SecretMissing
from airflow_rest_api.security.redaction import Redactor, of_installation
from airflow_rest_api.security.refresh_tokens import RefreshTokens
from airflow_rest_api.security.refusals import Refusals
from airflow_rest_api.security.sessions import Sessions
from airflow_rest_api.services import configuration, errors
from airflow_rest_api.settings import Settings, SettingsError
from airflow_rest_api.storage.manager import DatabaseAway, NotMigrated, ensure_migrated
from airflow_rest_api.web import contract, guard, logs, routing, schemas
from airflow_rest_api.web.answers import AnswerWriter
from airflow_rest_api.web.arguments import ArgumentReader
from airflow_rest_api.web.bodies import BodyReader
from airflow_rest_api.web.bridge import Bridge, Workers
from airflow_rest_api.web.contract import BASE_PATHS, ContractError, Document, Operation
from airflow_rest_api.web.credentials import security_map
from airflow_rest_api.web.doors import DOORS, FrontDoor, MountedDoor
from airflow_rest_api.web.edge import Edge
from airflow_rest_api.web.gate import Gate
from airflow_rest_api.web.guard import Guard, Recorder
from airflow_rest_api.web.limits import BodyLimits
from airflow_rest_api.web.metrics import Metrics
from airflow_rest_api.web.pages import Pages
from airflow_rest_api.web.paths import PathTable
from airflow_rest_api.web.validation import validator_map

# Under which name below `/v1/` each contract can be read.
_SERVED = {"openapi": "openapi.yaml", "legacy": "legacy.yaml"}
# What of Connexion's stack is used, behind our routing. Faults go up to the edge, which alone makes problems of
# them; Swagger UI is served by `pages.py`; answers are validated where they are made, by `answers.py`.
_STACK = (SecurityMiddleware, RequestValidationMiddleware, ContextMiddleware)

# Operations that ask neither the database nor the disk: they need no worker, and a probe must not wait for one.
_WITHOUT_WAITING = frozenset({"get_version", "get_liveness"})


class StartError(Exception):
    """The service cannot start; ``faults`` has one line for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Resources:
    """What the handlers of one application may ask for by name, beside what the contract passes."""

    settings: Settings
    sessions: Sessions
    metrics: Metrics
    audit: Audit
    redactor: Redactor

    def by_name(self) -> dict[str, Any]:
        """Return the resources by the names under which handlers ask for them."""
        return {"settings": self.settings, "sessions": self.sessions, "metrics": self.metrics}


def create_application() -> ASGIApp:
    """Build the application for its own server; raises `StartError`."""
    application, edge = _checked(partial(_build, standalone=True))
    return edge(FrontDoor(application))


def create_mounted() -> dict[str, ASGIApp]:
    """Build the application for Airflow's API server: one ASGI application for each prefix; raises `StartError`."""
    application, edge = _checked(partial(_build, standalone=False))
    return {door.prefix: edge(MountedDoor(application, door)) for door in DOORS}


_Built = tuple[ASGIApp, Callable[[ASGIApp], ASGIApp]]


def _checked(build: Callable[[], _Built]) -> _Built:
    try:
        return build()
    except SettingsError as fault:
        raise StartError(fault.faults) from fault
    except (
        ContractError,
        DatabaseAway,
        InvalidSpecification,
        NotMigrated,
        SecretMissing,
        errors.Refusal,
        routing.HandlerError,
        schemas.BrokenSchema,
    ) as fault:
        raise StartError([" ".join(str(fault).split())]) from fault


def _build(*, standalone: bool) -> _Built:
    settings = settings_module.load(configuration.option, pool_size=configuration.connection_pool_size())
    redactor = of_installation(settings)
    logs.install(redactor, standalone=standalone)
    ensure_migrated()
    auth_manager.start(standalone=standalone)
    keys = Keys(settings)
    access_tokens = AccessTokens(keys, timedelta(minutes=settings.access_token_minutes))
    refresh_tokens = RefreshTokens(keys, timedelta(days=settings.refresh_token_days))
    authenticator = Authenticator(settings, keys, access_tokens)
    authenticator.check_header_tokens()
    sessions = Sessions(access_tokens, refresh_tokens, authenticator.forget)
    metrics = Metrics()
    audit = Audit(metrics.audit_failures.inc, redactor)
    resources = Resources(settings, sessions, metrics, audit, redactor)
    contracts = [_Contract(name, contract.load(name), resources) for name in _names(settings)]
    workers = Workers(settings.worker_threads)
    guarded = _guard(_connexion(contracts, authenticator, workers, settings), contracts, workers, resources)
    documents = {stem: entry for stem, name in _SERVED.items() for entry in contracts if entry.name == name}
    served = {stem: (entry.document, entry.base_path) for stem, entry in documents.items()}
    return Pages(LegacyRouter(guarded), served), lambda inner: Edge(inner, metrics, redactor)


def _names(settings: Settings) -> list[str]:
    legacy = ["legacy.yaml", "legacy_security.yaml"] if settings.legacy_enabled else []
    return ["openapi.yaml", *legacy]


class _Contract:
    """One contract with everything compiled from it."""

    def __init__(self, name: str, document: Document, resources: Resources) -> None:
        self.name = name
        self.document = _named_header(document, resources.settings.http_token_header)
        self.base_path = BASE_PATHS[name]
        self.operations = contract.operations(document)
        faults = [fault for operation in self.operations for fault in routing.refuse_unsupported(operation)]
        if faults:
            raise StartError(faults)
        components = schemas.json_components(document)
        gate = Gate(resources.audit)
        self.readers = {
            operation.operation_id: ArgumentReader(document, operation, components)
            for operation in self.operations
        }
        self.bodies = {
            operation.operation_id: BodyReader(operation.definition["requestBody"], components)
            for operation in self.operations
            if "requestBody" in operation.definition
        }
        self.endpoints = {
            operation.operation_id: self._endpoint(operation, components, gate, resources)
            for operation in self.operations
        }

    def _endpoint(
        self, operation: Operation, components: Mapping[str, Any], gate: Gate, resources: Resources
    ) -> Callable[[], Any]:
        validate = resources.settings.validate_responses
        redactor = resources.redactor
        writer = AnswerWriter(self.document, operation, components, redactor, validate=validate)
        reader = self.readers[operation.operation_id]
        endpoint = routing.Endpoint(operation, reader, writer, gate, resources.by_name())
        return endpoint.answer


def _named_header(document: Document, name: str) -> Document:
    """Put the configured name of the header token into the contract."""
    scheme = document["components"].get("securitySchemes", {}).get("httpToken")
    if scheme is not None:
        document["components"]["securitySchemes"]["httpToken"] = {**scheme, "name": name}
    return document


def _guard(application: ASGIApp, contracts: list[_Contract], workers: Workers, resources: Resources) -> Guard:
    table = PathTable((entry.base_path, entry.document, entry.operations) for entry in contracts)
    operations = guard.by_place((entry.base_path, entry.operations) for entry in contracts)
    limits = BodyLimits(resources.settings.max_body_kib * 1024)
    refusals = Refusals(resources.metrics.audit_failures.inc, resources.redactor)
    return Guard(application, table, operations, limits, Recorder(resources.audit, refusals, workers))


def _connexion(
    contracts: list[_Contract], authenticator: Authenticator, workers: Workers, settings: Settings
) -> ASGIApp:
    app = connexion.FlaskApp(
        "airflow_rest_api",
        middlewares=[routing.Routing, *_STACK],
        uri_parser_class=routing.NoParsing,
    )
    # FlaskApp offers no option for its bridge (Connexion 3.3, issue 1979).
    app._middleware_app.asgi_app = Bridge(app.app.wsgi_app, workers, _WITHOUT_WAITING)
    for entry in contracts:
        app.add_api(
            routing.for_connexion(entry.document),
            base_path=entry.base_path,
            name=entry.base_path,
            resolver=routing.OperationResolver(entry.endpoints),
            validator_map=validator_map(entry.readers, entry.bodies),
            security_map=security_map(authenticator, workers, settings.http_token_header),
        )
    # Connexion builds its stack at the first request, and answers later ones from half of it if that failed.
    app.middleware.app, app.middleware.middleware_stack = app.middleware._build_middleware_stack()
    routing.call_directly(app.app)
    stack: ASGIApp = app.middleware
    return stack
