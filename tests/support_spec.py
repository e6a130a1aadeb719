"""The spec, loaded once, and the parts of it that tests ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SPEC: dict[str, Any] = yaml.load(
    (HERE.parent / "openapi" / "upgrade-client-v6.yaml").read_bytes(), Loader=YAML_LOADER
)
SCHEMAS: dict[str, dict[str, Any]] = SPEC["components"]["schemas"]
OPERATIONS: dict[tuple[str, str], dict[str, Any]] = {
    (method.upper(), path): operation
    for path, item in SPEC["paths"].items()
    for method, operation in item.items()
}


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """Return the node, or what its `$ref` names."""
    if "$ref" not in node:
        return node
    found: Any = SPEC
    for key in node["$ref"].split("/")[1:]:
        found = found[key]
    return dict(found)


def schema_of(node: dict[str, Any]) -> dict[str, Any]:
    return dict(node["content"]["application/json"]["schema"])
