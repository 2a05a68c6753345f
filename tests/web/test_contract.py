"""The contract as a document: bundled from its files, with every fault found when the service starts."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
import yaml

from airflow_rest_api.web import contract
from airflow_rest_api.web.app import StartError, create_application
from airflow_rest_api.web.contract import ContractError
from tests.support import environment
from tests.web import small
from tests.web.small import operation, parameter

FILES = sorted((environment.ROOT / "openapi").rglob("*.yaml"))


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def keys(node):
    if isinstance(node, dict):
        yield from node
        for value in node.values():
            yield from keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys(value)


class TestBundle:
    @pytest.mark.parametrize("name", list(contract.BASE_PATHS))
    def test_every_reference_is_local_and_leads_somewhere(self, name):
        document = contract.load(name)
        found = set(references(document))
        assert all(reference.startswith("#/components/") for reference in found)
        for reference in found:
            assert contract.dereference(document, {"$ref": reference})

    def test_names_are_kept(self):
        schemas = contract.load()["components"]["schemas"]
        assert {"Problem", "DAG", "DAGRun", "TaskInstance", "Login"} <= schemas.keys()

    @pytest.mark.parametrize("name", list(contract.BASE_PATHS))
    def test_nothing_internal_is_in_it(self, name):
        document = contract.load(name)
        extensions = {key for key in keys(document) if str(key).startswith("x-")}
        told = {"x-airflow-access", "x-read-only", "x-audited-when", "x-waits-for", "x-follows", "x-location"}
        told |= {"x-body-limit", "x-constraints", "x-example", "x-examples"}
        if name == "legacy.yaml":
            told |= {"x-legacy", "x-position", "x-ignored", "x-part"}
        assert extensions <= told
        assert all(isinstance(key, str) for key in keys(document))
        assert ".yaml" not in json.dumps(document)

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_plain_pyyaml_reads_every_file_as_libyaml_does(self, file):
        text = file.read_text()
        assert yaml.load(text, Loader=yaml.SafeLoader) == yaml.load(text, Loader=yaml.CSafeLoader)

    def test_a_moment_in_an_example_stays_a_text(self):
        assert yaml.load("when: 2026-01-01T00:00:00Z", Loader=contract._Loader) == {
            "when": "2026-01-01T00:00:00Z"
        }

    def test_a_schema_may_refer_to_itself(self, monkeypatch):
        small.files(
            monkeypatch,
            {
                "openapi.yaml": small.document({"/a": {"$ref": "paths/a.yaml#/a"}}),
                "paths/a.yaml": {"a": {"get": {"schema": {"$ref": "../components/schemas/tree.yaml#/Tree"}}}},
                "components/schemas/tree.yaml": {
                    "Tree": {"properties": {"left": {"$ref": "#/Tree"}, "leaf": {"$ref": "leaf.yaml#/Leaf"}}}
                },
                "components/schemas/leaf.yaml": {"Leaf": {"type": "string"}},
            },
        )
        document = contract.load()
        assert document["paths"]["/a"]["get"]["schema"] == {"$ref": "#/components/schemas/Tree"}
        assert document["components"]["schemas"] == {
            "Leaf": {"type": "string"},
            "Tree": {
                "properties": {
                    "left": {"$ref": "#/components/schemas/Tree"},
                    "leaf": {"$ref": "#/components/schemas/Leaf"},
                }
            },
        }

    def test_a_reference_within_the_main_file_stays(self, monkeypatch):
        here = {"$ref": "#/components/securitySchemes/bearer"}
        small.files(monkeypatch, {"openapi.yaml": small.document({"/a": {"get": {"here": here}}})})
        assert contract.load()["paths"]["/a"]["get"]["here"] == here

    def test_one_name_for_two_things_is_refused(self, monkeypatch):
        both = [{"$ref": f"components/schemas/{name}.yaml#/Thing"} for name in ("a", "b", "a")]
        thing = {"Thing": {"type": "string"}}
        small.files(
            monkeypatch,
            {
                "openapi.yaml": small.document({"/a": {"get": {"both": both}}}),
                "components/schemas/a.yaml": thing,
                "components/schemas/b.yaml": thing,
            },
        )
        with pytest.raises(
            ContractError, match=r"schemas 'Thing' is defined in both .*a\.yaml and .*b\.yaml"
        ):
            contract.load()

    def test_a_reference_that_leads_nowhere_is_refused(self, monkeypatch):
        small.files(
            monkeypatch,
            {"openapi.yaml": small.document({"/a": {"$ref": "paths/a.yaml#/b"}}), "paths/a.yaml": {"a": {}}},
        )
        with pytest.raises(
            ContractError, match=r"openapi\.yaml refers to 'b', which paths/a\.yaml does not define"
        ):
            contract.load()

    def test_a_file_that_is_no_mapping_or_is_missing_is_refused(self, monkeypatch, tmp_path):
        (tmp_path / "list.yaml").write_text("- 1\n")
        (tmp_path / "broken.yaml").write_text("a: [1\n  b: 2")
        monkeypatch.setattr(contract, "files", lambda package: tmp_path)
        read = contract._read.__wrapped__
        for name, reason in {
            "list": "is not a mapping",
            "broken": "cannot be read",
            "none": "cannot be read",
        }.items():
            with pytest.raises(ContractError, match=reason) as caught:
                read(f"{name}.yaml")
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "snake"), [("DAG", "dag"), ("DagRun", "dag_run"), ("DAGRun", "dag_run"), ("Task", "task")]
    )
    def test_a_tag_becomes_the_name_of_a_module(self, name, snake):
        assert contract.snake_case(name) == snake


class TestOperations:
    def one(self, **definition):
        document = small.document({"/a": {"get": operation("get_a", **definition)}})
        return contract.operations(document)[0]

    def test_an_operation_knows_what_the_contract_says(self):
        found = self.one()
        assert (found.operation_id, found.tag, found.module) == ("get_a", "Probe", "probe")
        assert (found.method, found.path, found.status) == ("GET", "/a", 200)
        assert (found.media_types, found.access, found.anonymous, found.read_only) == (
            ("application/json",),
            (),
            True,
            True,
        )

    def test_the_contracts_own_security_is_the_default(self):
        document = small.document({"/a": {"post": operation("post_a", body={}, **{"x-read-only": True})}})
        del document["paths"]["/a"]["post"]["security"]
        (found,) = contract.operations(document)
        assert (found.anonymous, found.read_only) == (False, True)

    def test_who_may_also_come_without_a_credential_is_anonymous(self):
        assert self.one(security=[{"bearer": []}, {}]).anonymous
        assert not self.one(security=[{"bearer": []}]).anonymous

    @pytest.mark.parametrize("missing", ["operationId", "tags", "responses"])
    def test_an_incomplete_one_is_refused(self, missing):
        document = small.document({"/a": {"get": operation("get_a")}})
        document["paths"]["/a"]["get"][missing] = {} if missing == "responses" else []
        if missing == "operationId":
            del document["paths"]["/a"]["get"][missing]
        with pytest.raises(ContractError, match="GET /a needs an operationId, a tag and a 2xx response"):
            contract.operations(document)

    def test_an_operations_own_parameter_wins_over_its_paths(self):
        shared = [parameter("a", type="string"), parameter("b", type="string")]
        own = parameter("a", type="integer")
        document = small.document({"/a": {"parameters": shared, "get": operation("get_a", parameters=[own])}})
        (found,) = contract.operations(document)
        assert list(contract.parameters(document, found)) == [shared[1], own]


class TestStart:
    """Whatever is wrong is one line, before the first request."""

    def faults(self, monkeypatch, paths, handlers=None, **settings):
        with pytest.raises(StartError) as caught:
            small.application(monkeypatch, paths, handlers or {}, **settings)
        assert caught.value.faults
        assert not any("\n" in fault for fault in caught.value.faults)
        return str(caught.value)

    @pytest.mark.parametrize(
        ("paths", "said"),
        [
            (
                {"/a": {"get": operation("nobody_does")}},
                "'nobody_does' has no handler in airflow_rest_api.handlers.probe",
            ),
            (
                {"/a": {"get": operation("takes_a")}},
                "'takes_a' does not fit the contract: missing a required argument",
            ),
            (
                {"/a": {"get": operation("takes_nothing", parameters=[parameter("b")])}},
                "'takes_nothing' does not fit the contract: got an unexpected keyword argument 'b'",
            ),
            (
                {"/a": {"post": operation("takes_nothing", body={})}},
                "'takes_nothing' does not fit the contract: got an unexpected keyword argument 'body'",
            ),
            (
                {"/a": {"get": operation("get_a", tags=["Nowhere"])}},
                "'get_a' has no handler: airflow_rest_api.handlers.nowhere is missing",
            ),
            (
                {"/a": {"get": operation("takes_nothing")}, "/b": {"get": operation("takes_nothing")}},
                "the operationId 'takes_nothing' is there twice",
            ),
            (
                {"/a": {"get": operation("takes_nothing", answer={"type": "nonsense"})}},
                "broken",
            ),
            (
                {"/a": {"get": operation("takes_nothing", answer={"type": "string", "pattern": "("})}},
                "broken",
            ),
            (
                {"/a": {"get": operation("takes_nothing", answer={"$ref": "#/components/schemas/None"})}},
                "None",
            ),
            (
                {
                    "/a": {
                        "post": operation(
                            "takes_body",
                            requestBody={"content": {"text/csv": {"schema": {"type": "string"}}}},
                        )
                    }
                },
                "'takes_body' takes text/csv, which is not read yet",
            ),
            (
                {
                    "/a": {
                        "get": {
                            **operation("takes_nothing"),
                            "security": [{"bearer": []}],
                            "x-airflow-access": None,
                        }
                    }
                },
                "x-airflow-access",
            ),
        ],
    )
    def test_a_contract_that_is_not_carried_out_is_refused(self, monkeypatch, metadata_database, paths, said):
        item = next(iter(next(iter(paths.values())).values()))
        if item["x-airflow-access"] is None:
            del item["x-airflow-access"]
        handlers = {"takes_a": lambda a: a, "takes_nothing": small.empty, "takes_body": lambda body: {}}
        assert said in self.faults(monkeypatch, paths, handlers)

    def test_what_is_no_openapi_is_refused(self, monkeypatch, metadata_database):
        paths = {"/a": {"get": operation("takes_nothing", parameters=[{"name": "a"}])}}
        paths["/a"]["get"]["parameters"] = []
        paths["/a"]["get"]["responses"]["200"] = {"content": {}}
        assert self.faults(monkeypatch, paths, {"takes_nothing": small.empty})

    def test_a_handler_whose_module_breaks_is_not_called_missing(self, monkeypatch, metadata_database):
        monkeypatch.setitem(sys.modules, "airflow_rest_api.handlers.probe", None)
        small.files(monkeypatch, {"openapi.yaml": small.document({"/a": {"get": operation("get_a")}})})
        monkeypatch.setenv("AIRFLOW__REST_API__LEGACY_ENABLED", "False")
        with pytest.raises(StartError, match="'get_a' has no handler"):
            create_application()

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("WORKER_THREADS", "13", "[rest_api] worker_threads: 13 threads need more database connections"),
            ("HTTP_TOKEN", "secret-token", "acts as nobody"),
            ("HTTP_TOKEN", "ci:ghost:secret-token", "'ci' acts as 'ghost', who is no active user"),
            ("LEGACY_DIALECT", "french", "'french' is none of auto, ebay, clairvoyant"),
        ],
    )
    def test_a_wrong_setting_is_refused(self, monkeypatch, metadata_database, name, value, said):
        assert said in self.faults(
            monkeypatch, {"/a": {"get": operation("a")}}, {"a": small.empty}, **{name: value}
        )
        monkeypatch.delenv(f"AIRFLOW__REST_API__{name}")

    def test_the_value_of_a_token_is_not_told(self, monkeypatch, metadata_database):
        assert "secret-token" not in self.faults(
            monkeypatch, {}, HTTP_TOKEN="a:b:c:secret-token,secret-token"
        )

    def test_a_missing_key_is_refused(self, monkeypatch, metadata_database):
        monkeypatch.delenv("AIRFLOW__API_AUTH__JWT_SECRET")
        monkeypatch.setattr("airflow_rest_api.security.keys.option", lambda *_: None)
        assert "[api_auth] jwt_secret is not set" in self.faults(monkeypatch, {})

    def test_tables_of_another_release_are_refused(self, monkeypatch, metadata_database):
        from airflow_rest_api.storage import manager

        monkeypatch.setattr(manager, "_is_current", lambda: False)
        monkeypatch.setattr(manager, "_is_sqlite", lambda: False)
        assert "run `airflow-rest-api db migrate`" in self.faults(monkeypatch, {})

    def test_a_database_that_is_away_is_told(self, monkeypatch, metadata_database):
        from sqlalchemy.exc import OperationalError

        from airflow_rest_api.storage import manager

        def away():
            raise OperationalError("SELECT secret", {}, Exception("at 10.0.0.1"))

        monkeypatch.setattr(manager, "_is_current", away)
        said = self.faults(monkeypatch, {})
        assert "does not answer" in said
        assert not {"secret", "10.0.0.1"} & set(said.split())


class TestNames:
    def test_parameters_of_both_kinds_stay_what_they_are_for_the_handlers(self, build):
        paths = {
            "/files/{name}": {
                "parameters": [parameter("name", "path", type="string", format="path")],
                "get": operation("get_file", parameters=[parameter("X-Limit", "header", type="string")]),
            }
        }
        client = build(paths, {"get_file": lambda name, x_limit: {"name": name, "limit": x_limit}})
        assert client.get("files/a/b.txt", headers={"X-Limit": "3"}).json() == {
            "name": "a/b.txt",
            "limit": "3",
        }

    def test_a_handlers_module_is_found_by_the_tag(self, build, monkeypatch):
        module = ModuleType("airflow_rest_api.handlers.two_words")
        module.get_a = lambda caller, media_type, settings: [str(caller), media_type, settings.worker_threads]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        answered = operation("get_a", tags=["TwoWords"], answer={"type": "array"})
        answer = build({"/a": {"get": answered}}, {}).get("a").json()
        assert answer == ["None", "application/json", 12]
