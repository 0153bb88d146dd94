# SPDX-License-Identifier: BSD-3-Clause
"""docs/openapi.yaml as JSON schemas and as a list of operations."""

import pathlib

import jsonschema
import yaml

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/openapi.yaml"
VERBS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"


class Operation:
    def __init__(self, api, path, verb, shared, described):
        self.path, self.verb = path, verb.upper()
        self.name = f"{self.verb} {path}"
        self.parameters = [api.resolve(p) for p in [*shared, *described.get("parameters", [])]]
        body = api.resolve(described.get("requestBody") or {})
        self.body = api.schema(body["content"][JSON]["schema"]) if body else None
        self.responses = {int(status): api.resolve(r) for status, r in described["responses"].items()}
        self.summary = described.get("summary", "")

    def query(self):
        return [p for p in self.parameters if p["in"] == "query"]

    def members(self):
        return (self.body or {}).get("properties", {})


class Api:
    def __init__(self, document=DOCUMENT):
        self.document = yaml.safe_load(document.read_text(encoding="utf-8"))
        self.operations = [
            Operation(self, path, verb, verbs.get("parameters", []), verbs[verb])
            for path, verbs in self.document["paths"].items() for verb in VERBS if verb in verbs]

    def resolve(self, node):
        while "$ref" in node:
            target = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def schema(self, node):
        """A JSON schema: references replaced, `nullable` told; and what an object does not name it does not have."""
        node = dict(self.resolve(node))
        if "properties" in node:
            node["properties"] = {k: self.schema(v) for k, v in node["properties"].items()}
            node.setdefault("additionalProperties", False)
        for key in ("items", "additionalProperties"):
            if isinstance(node.get(key), dict):
                node[key] = self.schema(node[key])
        for key in ("oneOf", "anyOf"):
            if key in node:
                node[key] = [self.schema(v) for v in node[key]]
        if node.pop("nullable", False):
            node = {"anyOf": [{"type": "null"}, node]}
        return node

    def operation(self, verb, path):
        """Of a path as it is asked for: one with the fewest parameters in it that fits."""
        def fits(op):
            ours, theirs = op.path.split("/"), path.partition("?")[0].split("/")
            return op.verb == verb and len(ours) == len(theirs) and all(
                a == b or a.startswith("{") for a, b in zip(ours, theirs))

        return min(filter(fits, self.operations), key=lambda op: op.path.count("{"), default=None)

    def check(self, op, status, reply):
        """Raises what the reply has that the description does not say."""
        assert status in op.responses, f"{op.name} answered {status}, which is not described: {reply}"
        content = op.responses[status].get("content", {})
        assert JSON in content, f"{op.name}: {status} has no JSON in the description"
        found = jsonschema.Draft7Validator(self.schema(content[JSON]["schema"])).iter_errors(reply)
        said = [f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in found]
        assert not said, f"{op.name}: {status}: " + "; ".join(said)
