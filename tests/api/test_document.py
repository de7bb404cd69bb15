"""The OpenAPI document is whole: every operation explained, every schema with examples that fit it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from regime_trading.api.document import PROBLEMS, problem_example
from regime_trading.api.errors import Problem
from regime_trading.bootstrap.openapi import openapi_document
from regime_trading.cli import app

LEAF = {"string", "integer", "number", "boolean"}


@pytest.fixture(scope="module")
def document(_keys_and_witness: None) -> dict[str, Any]:
    return openapi_document()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def reached(document: dict[str, Any], part: Any, known: set[str]) -> set[str]:
    """Schemas that a part refers to, and those that they do."""
    if isinstance(part, dict):
        _, _, name = str(part.get("$ref", "")).partition("#/components/schemas/")
        if name and name not in known:
            known.add(name)
            reached(document, document["components"]["schemas"][name], known)
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            reached(document, one, known)
    return known


def used(document: dict[str, Any]) -> set[str]:
    """Schemas of requests and of answers that are no problems."""
    parts = []
    for _, _, operation in operations(document):
        parts.append(operation.get("requestBody", {}))
        parts += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    return reached(document, parts, set())


class Fits:
    """What of a document fits another part of it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.components = document["components"]
        self.registry = jsonschema_rs.Registry([("urn:document", document)])

    def at(self, pointer: str, value: Any) -> bool:
        """Whether a value fits the schema at a place."""
        place = {"$ref": f"urn:document#{pointer}"}
        return bool(jsonschema_rs.Draft202012Validator(place, registry=self.registry).is_valid(value))

    def with_components(self, schema: dict[str, Any], value: Any) -> bool:
        """Whether a value fits a schema that may refer to others."""
        more = {"components": self.components} if "$ref" in json.dumps(schema) else {}
        return bool(jsonschema_rs.is_valid(schema | more, value))


def test_every_operation_is_explained(document: dict[str, Any]) -> None:
    fits, names = Fits(document), [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names)) > 90
    assert not [name for name in document["components"]["schemas"] if "__" in name], "two schemas of one name"
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"] and operation["description"] and operation["tags"], where
        assert "security" in operation, where
        answers = operation["responses"]
        good = [answer for status, answer in answers.items() if status[0] in "23"]
        assert good or operation["operationId"] == "change_mode", where
        for answer in good:
            assert "X-Request-Id" in answer["headers"], where
            if "x-permission" in operation:
                assert {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} <= set(answer["headers"])
        if operation["security"]:
            assert {"401", "403", "500", "503"} <= set(answers), where
        if "x-permission" in operation:
            assert "429" in answers, where
        if "requestBody" in operation:
            assert {"400", "413", "422"} <= set(answers), where
        given = {one["name"] for one in operation.get("parameters", ())}
        assert set(re.findall(r"{(\w+)}", path)) <= given, where
        assert ("412" in answers) == ("If-Match" in given), where
        for one in operation.get("parameters", ()):
            assert "example" in one, (where, one["name"])
            assert fits.with_components(one["schema"], one["example"]), (where, one)


def test_every_problem_has_an_example(document: dict[str, Any]) -> None:
    fits = Fits(document)
    for name, answer in document["components"]["responses"].items():
        (kind,) = answer["content"]
        assert kind == "application/problem+json", name
        assert answer["content"][kind]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert answer["content"][kind]["examples"], name
        for said in answer["content"][kind]["examples"].values():
            assert fits.at("/components/schemas/Problem", said["value"])
            Problem.model_validate(said["value"])
    for status, codes in PROBLEMS.items():
        assert all(problem_example(status, code)["status"] == status for code in codes)


def test_every_schema_has_examples_that_fit(document: dict[str, Any]) -> None:
    schemas, fits, tried = document["components"]["schemas"], Fits(document), 0
    for name in sorted(used(document)):
        schema, at = schemas[name], f"/components/schemas/{name}"
        assert schema.get("type") != "object" or schema["examples"], name
        assert all(fits.at(at, example) for example in schema.get("examples", ())), name
        for leaf, part in schema.get("properties", {}).items():
            assert "const" in part or part["examples"], f"{name}.{leaf}"
            for example in part.get("examples", ()):
                assert fits.at(f"{at}/properties/{leaf}", example), (name, leaf, example)
                tried += 1
    assert tried > 800
    right = schemas["HaltIn"]["examples"][0]
    assert fits.at("/components/schemas/HaltIn", right)
    assert not fits.at("/components/schemas/HaltIn", right | {"level": "K9"}), "what does not fit is found"


def test_every_link_leads_somewhere(document: dict[str, Any]) -> None:
    known = {operation["operationId"]: operation for _, _, operation in operations(document)}
    linked = 0
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                names = {one["name"] for one in known[link["operationId"]].get("parameters", ())}
                assert set(link.get("parameters", ())) <= names
                linked += 1
    assert linked >= 10


def test_the_document_comes_without_a_server(document: dict[str, Any], tmp_path: Path) -> None:
    to = tmp_path / "openapi.json"
    done = CliRunner().invoke(app, ["api", "openapi", "--to", str(to)])
    assert done.exit_code == 0, done.output
    assert json.loads(to.read_text()) == document
    nowhere = CliRunner().invoke(app, ["api", "openapi", "--to", str(tmp_path / "no" / "folder.json")])
    assert nowhere.exit_code == 2
