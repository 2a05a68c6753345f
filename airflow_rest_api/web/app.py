"""The application: the contracts, Connexion and Flask put together, once and eagerly.

Everything that can be wrong (a setting, the contract, a missing handler, tables that are not migrated) is found
here, before the first request; `StartError` says it in one line each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import connexion
from connexion.middleware.context import ContextMiddleware
from connexion.middleware.request_validation import RequestValidationMiddleware
from connexion.middleware.security import SecurityMiddleware
from starlette.types import ASGIApp

from airflow_rest_api import settings as settings_module
from airflow_rest_api.legacy.identity import Identity
from airflow_rest_api.legacy.old_login import OldLogin
from airflow_rest_api.legacy.router import LegacyRouter, Surroundings
from airflow_rest_api.legacy.successors import Successors
from airflow_rest_api.legacy.usage import Usage
from airflow_rest_api.security import auth_manager, powers
from airflow_rest_api.security.access_tokens import AccessTokens
from airflow_rest_api.security.audit import Audit
from airflow_rest_api.security.authentication import Authenticator
from airflow_rest_api.security.keys import Keys, keyed_hash
from airflow_rest_api.security.login_limits import LoginLimits
from airflow_rest_api.security.redaction import of_installation
from airflow_rest_api.security.refresh_tokens import RefreshTokens
from airflow_rest_api.security.refusals import Refusals
from airflow_rest_api.security.reviews import Reviewable, Reviews
from airflow_rest_api.security.sessions import Sessions
from airflow_rest_api.services import configuration, sources, watching, weak_sandbox
from airflow_rest_api.services.background import Background
from airflow_rest_api.services.deployments import sandboxes
from airflow_rest_api.services.deployments.deployment_following import Following
from airflow_rest_api.services.kinds import KINDS
from airflow_rest_api.settings import Settings, SettingsError
from airflow_rest_api.storage.manager import ensure_migrated
from airflow_rest_api.web import contract, guard, logs, routing, upload_roots
from airflow_rest_api.web.bridge import Bridge, Workers
from airflow_rest_api.web.compiled import OLD_CALLS, CompiledContract
from airflow_rest_api.web.contract import Document, Operation
from airflow_rest_api.web.credentials import identified_map, security_map
from airflow_rest_api.web.doors import DOORS, FrontDoor, MountedDoor
from airflow_rest_api.web.edge import Edge
from airflow_rest_api.web.faults import Faults, StartError
from airflow_rest_api.web.guard import Guard, Recorder
from airflow_rest_api.web.idempotency import Idempotency
from airflow_rest_api.web.limits import BodyLimits
from airflow_rest_api.web.metrics import Metrics
from airflow_rest_api.web.pages import Pages
from airflow_rest_api.web.paths import PathTable
from airflow_rest_api.web.resources import Resources
from airflow_rest_api.web.unread_bodies import UnreadBodies
from airflow_rest_api.web.waiting import Waiting

__all__ = ["StartError", "create_application", "create_mounted"]

log = logging.getLogger(__name__)

# Where there is no secret nothing is served; with this one the rest can be looked at.
_STAND_IN = Keys(Settings(jwt_secret="-" * settings_module.SECRET_BYTES))
# Under which name below `/v1/` each contract can be read.
_SERVED = {"openapi": "openapi.yaml", "legacy": OLD_CALLS}
# What of Connexion's stack is used, behind our routing. Faults go up to the edge, which alone makes problems of
# them; Swagger UI is served by `pages.py`; answers are validated where they are made, by `answers.py`.
_STACK = (SecurityMiddleware, RequestValidationMiddleware, ContextMiddleware)

# Operations that ask neither the database nor the disk: they need no worker, and a probe must not wait for one.
_WITHOUT_BLOCKING = frozenset({"get_version", "get_liveness"})


def create_application(*, looks_after_work: bool = False) -> ASGIApp:
    """Build the application for its own server; raises `StartError`.

    A server ``looks_after_work``: its process takes over, or calls lost, what others have begun and left.
    """
    application, edge = _build(standalone=True, looks_after_work=looks_after_work)
    return edge(FrontDoor(application))


def create_mounted() -> dict[str, ASGIApp]:
    """Build the application for Airflow's API server: one ASGI application for each prefix; raises `StartError`."""
    application, edge = _build(standalone=False, looks_after_work=True)
    return {door.prefix: edge(MountedDoor(application, door)) for door in DOORS}


_Built = tuple[ASGIApp, Callable[[ASGIApp], ASGIApp]]


def _build(*, standalone: bool, looks_after_work: bool) -> _Built:
    faults = Faults()
    settings = _settings(faults)
    logs.install(of_installation(settings), standalone=standalone)
    faults.attempt(ensure_migrated, None)
    if not faults.attempt(partial(_start_auth_manager, standalone=standalone), instead=False):
        faults.refuse()
    faults.attempt(powers.prepare, None)
    resources, authenticator = _resources(settings, faults)
    contracts = _contracts(settings, resources, faults)
    workers = Workers(settings.worker_threads)
    connexion_app = faults.attempt(lambda: _connexion(contracts, authenticator, workers, settings), None)
    faults.refuse()
    assert connexion_app is not None
    if looks_after_work:
        resources.background.keep()
        resources.following.keep()
        weak_sandbox.warn(resources.sandbox, is_allowed=settings.allow_weak_sandbox)
    recorder = _recorder(resources, workers)
    application: ASGIApp = _guard(connexion_app, contracts, resources.settings, recorder, workers)
    old_calls = {name: old for entry in contracts for name, old in entry.old_calls.items()}
    if old_calls:
        identity = Identity(authenticator, settings)
        successors = Successors(contracts[0].operations)
        usage = Usage(resources.metrics.count_legacy_call, resources.audit)
        around = Surroundings(settings, identity, successors, workers, recorder, usage, resources.redactor)
        application = LegacyRouter(OldLogin(application, successors), old_calls, around)
    documents = {stem: entry for stem, name in _SERVED.items() for entry in contracts if entry.name == name}
    served = {stem: (entry.document, entry.base_path) for stem, entry in documents.items()}
    return Pages(application, served), lambda inner: UnreadBodies(
        Edge(inner, resources.metrics, resources.redactor)
    )


def _settings(faults: Faults) -> Settings:
    """Read the settings; where some are wrong, what could be read of them."""
    given = configuration.option_names(settings_module.SECTION)
    pool_size = configuration.connection_pool_size()
    try:
        settings = settings_module.load(configuration.option, pool_size=pool_size, given=given)
    except SettingsError as fault:
        faults.add(fault.faults)
        settings = fault.settings
    faults.add(upload_roots.faults_of(settings.upload_roots))
    return settings


def _start_auth_manager(*, standalone: bool) -> bool:
    auth_manager.start(standalone=standalone)
    if auth_manager.is_simple() and configuration.everybody_is_admin():
        log.warning("[core] simple_auth_manager_all_admins is set: whoever logs in is an administrator")
    return True


def _resources(settings: Settings, faults: Faults) -> tuple[Resources, Authenticator]:
    keys = faults.attempt(lambda: Keys(settings), instead=_STAND_IN)
    access_tokens = AccessTokens(keys, timedelta(minutes=settings.access_token_minutes))
    refresh_tokens = RefreshTokens(keys, timedelta(days=settings.refresh_token_days))
    authenticator = Authenticator(settings, keys, access_tokens)
    faults.attempt(authenticator.check_header_tokens, None)
    metrics = Metrics()
    redactor = of_installation(settings)
    resources = Resources(
        settings=settings,
        sessions=Sessions(access_tokens, refresh_tokens, LoginLimits(keys), authenticator.forget),
        reviews=Reviews(faults.attempt(_reviewables, instead=[])),
        metrics=metrics,
        audit=Audit(metrics.audit_failures.inc, redactor),
        idempotency=Idempotency(partial(keyed_hash, keys.derived("idempotency keys")), redactor),
        state_hash=partial(keyed_hash, keys.derived("states of objects")),
        background=Background(
            KINDS, metrics.background_failures.inc, timedelta(days=settings.operation_days)
        ),
        following=Following(metrics.background_failures.inc),
        sandbox=sandboxes.of_installation(settings),
        redactor=redactor,
    )
    return resources, authenticator


def _reviewables() -> list[Reviewable]:
    document = contract.load()
    return [_reviewable(document, operation) for operation in contract.operations(document)]


def _reviewable(document: Document, operation: Operation) -> Reviewable:
    places = [(entry["in"], entry["name"]) for entry in contract.parameters(document, operation)]
    return Reviewable(
        operation_id=operation.operation_id,
        rules=operation.access or (),
        parameters=frozenset(name for place, name in places if place in ("path", "query")),
        path_parameters=frozenset(name for place, name in places if place == "path"),
    )


def _contracts(settings: Settings, resources: Resources, faults: Faults) -> list[CompiledContract]:
    legacy = ["legacy.yaml", "legacy_security.yaml"] if settings.legacy_enabled else []
    found = [
        faults.attempt(partial(CompiledContract.read, name, resources), None)
        for name in ["openapi.yaml", *legacy]
    ]
    return [entry for entry in found if entry is not None]


def _recorder(resources: Resources, workers: Workers) -> Recorder:
    refusals = Refusals(resources.metrics.audit_failures.inc, resources.redactor)
    return Recorder(resources.audit, refusals, workers)


def _guard(
    application: ASGIApp,
    contracts: list[CompiledContract],
    settings: Settings,
    recorder: Recorder,
    workers: Workers,
) -> Guard:
    table = PathTable((entry.base_path, entry.document, entry.operations) for entry in contracts)
    operations = guard.by_place((entry.base_path, entry.operations) for entry in contracts)
    return Guard(application, table, operations, BodyLimits(settings), recorder, workers)


def _connexion(
    contracts: list[CompiledContract], authenticator: Authenticator, workers: Workers, settings: Settings
) -> ASGIApp:
    app = connexion.FlaskApp(
        "airflow_rest_api",
        middlewares=[routing.Routing, *_STACK],
        uri_parser_class=routing.NoParsing,
    )
    # FlaskApp offers no option for its bridge (Connexion 3.3, issue 1979).
    asked = Waiting(watching.finished, workers).asked
    app._middleware_app.asgi_app = Bridge(app.app.wsgi_app, workers, _WITHOUT_BLOCKING, asked, sources.look)
    credentials = security_map(authenticator, workers, settings.accepted_token_header)
    for entry in contracts:
        app.add_api(
            routing.for_connexion(entry.document, reads_forms=bool(entry.old_calls)),
            base_path=entry.base_path,
            name=entry.base_path,
            resolver=routing.OperationResolver(entry.endpoints),
            validator_map=entry.validators(workers),
            security_map=identified_map() if entry.old_calls else credentials,
        )
    # Connexion builds its stack at the first request, and answers later ones from half of it if that failed.
    app.middleware.app, app.middleware.middleware_stack = app.middleware._build_middleware_stack()
    routing.call_directly(app.app)
    stack: ASGIApp = app.middleware
    return stack
