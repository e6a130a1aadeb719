"""The JSON objects of exports: read from files, and field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Optional, Union, cast

import attrs

from ..._narrow import list_or_none, object_or_none
from .checks import check_text

Export = Union[str, "PathLike[str]", Mapping[str, Any], list[Any]]
"""An export: its parsed JSON, or the path of the file, or a list of these."""


def read_items(export: Export, what: str) -> Iterator[Item]:
    """Yield the experiments, flags or segments of an export, which holds one or a list of them.

    Only ``export`` itself names files: a path that a file holds is not read.
    """
    several = list_or_none(export)
    for part in [export] if several is None else several:
        if not isinstance(part, (str, PathLike)):
            yield Item.named(part, what, what)
            continue
        path = Path(cast("str | PathLike[str]", part))
        where = f"{what} of {path}"
        parsed = _parsed(path, where)
        contents = list_or_none(parsed)
        for item in [parsed] if contents is None else contents:
            yield Item.named(item, what, where)


def _parsed(path: Path, where: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{where}: not JSON: {error}") from None
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply for an export") from None


@attrs.frozen
class Item:
    """A JSON object of an export, and the place that errors name."""

    value: Any
    place: str

    @classmethod
    def named(cls, value: Any, what: str, place: str) -> Item:
        """Return an item that errors name by its name, where it has one."""
        name = (object_or_none(value) or {}).get("name")
        return cls(value, f"{what} {name!r}" if name and isinstance(name, str) else place)

    def get(self, field: str, type_: Any, default: Any = attrs.NOTHING) -> Any:
        """Return the field's value if it has this type; ``default`` where absent or null."""
        fields = object_or_none(self.value)
        if fields is None:
            raise ValueError(f"{self.place}: not a JSON object, so not what the web page exports")
        value = fields.get(field)
        if value is None and default is not attrs.NOTHING:
            return default
        if value is None or not isinstance(value, type_):
            raise ValueError(f"{self.place}: {field}: missing or malformed in this export")
        return check_text(f"{self.place}: {field}", value) if isinstance(value, str) else value

    def text(self, field: str, default: Any = attrs.NOTHING) -> str:
        return cast(str, self.get(field, str, default))

    def optional_text(self, field: str) -> str | None:
        return cast(Optional[str], self.get(field, str, None))

    def texts(self, field: str, default: Any = attrs.NOTHING) -> tuple[str, ...]:
        """Return a list of strings."""
        values = [{field: value} for value in self.get(field, list, default)]
        return tuple(Item(value, self.place).text(field) for value in values)

    def object(self, field: str) -> Item:
        return Item(self.get(field, dict), f"{self.place}: {field}")

    def objects(self, field: str, *, required: bool = False) -> list[Item]:
        values = cast("list[Any]", self.get(field, list, attrs.NOTHING if required else []))
        return [Item(value, f"{self.place}: {field}") for value in values]

    def in_order(self, field: str) -> list[Item]:
        return sorted(
            self.objects(field, required=True), key=lambda item: item.get("order", (int, float), 0)
        )

    def contexts(self) -> tuple[str, ...]:
        context = self.get("context", (list, str))
        return (context,) if isinstance(context, str) else self.texts("context")

    def created(self) -> str:
        return self.text("createdAt", "")
