"""The console script `airflow-rest-api`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from sqlalchemy.exc import OperationalError

from airflow_rest_api.web import contract


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except contract.ContractError as fault:
        sys.stderr.write(f"airflow-rest-api: {fault}\n")
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="airflow-rest-api", description="A REST service for Apache Airflow 3."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    serve = commands.add_parser("serve", help="run the service on its own")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8090)
    serve.add_argument("--workers", type=_positive, default=1)
    serve.add_argument("--root-path", default="", help="the prefix that a proxy takes off")
    serve.add_argument(
        "--log-level", default="info", choices=["critical", "error", "warning", "info", "debug"]
    )
    serve.add_argument("--no-access-log", dest="access_log", action="store_false")
    serve.add_argument(
        "--worker-start-timeout",
        type=_positive,
        default=120,
        metavar="SECONDS",
        help="with several workers: kill one that has not started, or does not respond, for so long (120)",
    )
    serve.add_argument(
        "--max-connections",
        type=_positive,
        default=2000,
        metavar="N",
        help="open connections of one worker; further ones get 503 (2000)",
    )
    serve.set_defaults(run=_serve)
    document = commands.add_parser("openapi", help="print the bundled contract")
    document.add_argument("--contract", default="openapi.yaml", choices=list(contract.BASE_PATHS))
    document.add_argument("--format", default="yaml", choices=["yaml", "json"])
    document.add_argument("-o", "--output", type=Path, help="write to this file")
    document.set_defaults(run=_openapi)
    routes = commands.add_parser("routes", help="list the operations")
    routes.set_defaults(run=_routes)
    database = commands.add_parser("db", help="the service's own tables").add_subparsers(
        required=True, metavar="action"
    )
    migrate = database.add_parser("migrate", help="bring the tables to this release's state")
    migrate.set_defaults(run=_migrate)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _serve(options: argparse.Namespace) -> int:
    """Run uvicorn; the application is built once before, so that a fault is one clear line and not a worker's loop."""
    from airflow_rest_api.web import server

    return server.run(server.Options(**{name: vars(options)[name] for name in server.Options.names()}))


def _openapi(options: argparse.Namespace) -> int:
    document = contract.load(options.contract)
    if options.format == "json":
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    else:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


def _routes(_: argparse.Namespace) -> int:
    for name in contract.BASE_PATHS:
        document = contract.load(name)
        for operation in contract.operations(document):
            sys.stdout.write(
                f"{operation.tag:16} {operation.method:7} {operation.path}  {operation.operation_id}\n"
            )
    return 0


def _migrate(_: argparse.Namespace) -> int:
    from airflow_rest_api.security import powers
    from airflow_rest_api.services.errors import DatabaseUnavailable
    from airflow_rest_api.storage import manager

    try:
        manager.migrate()
        powers.prepare()
    except (OperationalError, DatabaseUnavailable):
        sys.stderr.write(f"airflow-rest-api: {manager.DatabaseAway()}\n")
        return 1
    sys.stdout.write("The tables of airflow-rest-api are up to date.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
