"""Fills the page on the wire with what the spec says, each time the site is built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SPEC = Path(__file__).parent.parent.parent / "openapi" / "upgrade-client-v6.yaml"
LINE_LENGTH = 80


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the tables in the places that a page has for them; mkdocs calls this."""
    spec = yaml.safe_load(SPEC.read_text("utf-8"))
    for place, lines in (
        ("<!-- operations -->", operations(spec)),
        ("<!-- headers -->", headers(spec)),
        ("<!-- schemas -->", schemas(spec)),
    ):
        if place in markdown:
            markdown = markdown.replace(place, "\n".join(lines))
    return markdown


def operations(spec: Mapping[str, Any]) -> Iterator[str]:
    """A table of the operations, then each with its description and its first example."""
    every = [
        (f"{method.upper()} {path}", operation)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
    ]
    yield "| operation | takes | gives |"
    yield "|---|---|---|"
    for name, operation in every:
        summary = operation["summary"]
        shapes = " | ".join(_type(body["schema"]) if body else "" for _, body in _bodies(operation))
        yield f"| [`{name}`](#{_anchor(summary)})<br>{summary} | {shapes} |"
    for name, operation in every:
        yield from ("", f"### {operation['summary']}", "", f"`{name}`", "")
        yield operation["description"]
        for title, body in _bodies(operation):
            if body:
                yield from ("", f"{title}:", "", *_example(body))


def headers(spec: Mapping[str, Any]) -> Iterator[str]:
    """A table of the headers that every request carries."""
    yield "| header | needed | meaning |"
    yield "|---|---|---|"
    for header in spec["components"]["parameters"].values():
        needed = "yes" if header.get("required") else ""
        yield f"| `{header['name']}` | {needed} | {_one_line(header['description'])} |"


def schemas(spec: Mapping[str, Any]) -> Iterator[str]:
    """Every schema, as a table of its fields where it has some."""
    for name, schema in spec["components"]["schemas"].items():
        yield from ("", f"### {name}", "")
        if "description" in schema:
            yield from (schema["description"], "")
        fields = schema.get("properties")
        if not fields:
            yield f"{_type(schema)}."
            continue
        yield "| field | type | needed | meaning |"
        yield "|---|---|---|---|"
        for field, about in fields.items():
            needed = "yes" if field in schema.get("required", ()) else ""
            meaning = _one_line(about.get("description", ""))
            yield f"| `{field}` | {_type(about)} | {needed} | {meaning} |"


def _bodies(operation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What an operation takes and what it gives, each with a title; empty where it has no body."""
    for title, holder in (
        ("A request", operation.get("requestBody", {})),
        ("An answer", operation["responses"]["200"]),
    ):
        yield title, holder.get("content", {}).get("application/json", {})


def _example(content: Mapping[str, Any]) -> Iterator[str]:
    value = next(iter(content["examples"].values()))["value"]
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > LINE_LENGTH:
        text = json.dumps(value, ensure_ascii=False, indent=2)
    yield from ("```json", text, "```")


def _type(schema: Mapping[str, Any]) -> str:
    """A schema's type in a few words, with links to what it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object, with a {_type(schema['additionalProperties'])} for each name"
    return str(kind)


def _anchor(heading: str) -> str:
    return heading.lower().replace("'", "").replace(" ", "-")


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
