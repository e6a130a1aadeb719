"""What a store keeps of one user, and how that is written as bytes.

The bytes are a checksum of what follows; a line of JSON with everything but the items of responses;
then these items, each as JSON of its own: an item is parsed when its decision point is asked for.
Keys that a reader does not know are ignored, so that the next release may add some; a change of
meaning has another format number. What is damaged, or of another format, counts as no entry.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Optional
from zlib import crc32

import attrs

from .. import _api
from .._rules.queues import PointKey
from .._rules.sharing import StoredGroups

FORMAT = 1

CHECKSUM_BYTES = 4

MAX_CACHED, MAX_CACHED_BYTES = 256, 16_384
"""How many entries that were read lately stay decoded, and how many bytes each has at most."""

MAX_LAST_MARKED = 100
"""For how many points it is known which condition was marked last."""

MarkedKey = tuple[str, str, Optional[str]]
"""A decision point's site and target, and the experiment that was marked there."""

_decode_json = json.JSONDecoder().raw_decode
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StoredItems(Mapping[PointKey, _api.Item]):
    """The items of a response, each parsed when it is asked for."""

    __slots__ = ("_data", "_parsed", "_spans")

    def __init__(self, data: bytes, spans: Mapping[PointKey, tuple[int, int]]) -> None:
        self._data = data
        self._spans = spans
        self._parsed: dict[PointKey, _api.Item] = {}

    def __getitem__(self, point: PointKey) -> _api.Item:
        item = self._parsed.get(point)
        if item is None:
            start, end = self._spans[point]
            item = self._parsed[point] = _parse(self._data[start:end])
        return item

    def __iter__(self) -> Iterator[PointKey]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def as_bytes(self) -> Iterator[tuple[PointKey, bytes]]:
        """Return each item as it was encoded."""
        return ((point, self._data[start:end]) for point, (start, end) in self._spans.items())


@attrs.frozen
class StoredRecord:
    """A response to assign, and what marks did since; see ``Record``."""

    load_id: str
    answered_at: float
    items: Mapping[PointKey, _api.Item] = attrs.field(repr=False)
    advanced_by: Mapping[PointKey, int] = attrs.field(factory=dict[PointKey, int])
    invalidated: frozenset[PointKey] = frozenset()


@attrs.frozen
class StoredFlags:
    """A response to featureflag."""

    answered_at: float
    keys: tuple[str, ...]


@attrs.frozen
class StoredContext:
    """What is known of a user in one context.

    ``marks`` counts those that may have changed what the server answers. ``last_marked`` are the
    conditions of marks that were news, by point and experiment, the latest last.
    """

    marks: int = 0
    record: StoredRecord | None = None
    flags: StoredFlags | None = None
    last_marked: Mapping[MarkedKey, str | None] = attrs.field(
        factory=dict[MarkedKey, Optional[str]]
    )


@attrs.frozen
class Entry:
    """What is known of a user.

    Each change of the user gives it another ``generation``, which never comes back, not even after
    the entry was removed; ``""`` stands for no entry. The entry of an alias is a link: it has the
    key of the root user's entry, and when it was written.
    """

    generation: str = ""
    groups: StoredGroups | None = None
    contexts: Mapping[str, StoredContext] = attrs.field(factory=dict[str, StoredContext])
    alias_keys: tuple[str, ...] = ()
    root_key: str | None = None
    linked_at: float = 0.0

    def context(self, name: str) -> StoredContext:
        return self.contexts.get(name) or StoredContext()

    def with_context(self, name: str, context: StoredContext) -> Entry:
        return attrs.evolve(self, contexts={**self.contexts, name: context})

    def of_changed_user(self, groups: StoredGroups | None) -> Entry:
        """Return the entry after a change of the user: it has no records."""
        return Entry(generation=new_token(), groups=groups, alias_keys=self.alias_keys)


def new_token() -> str:
    """Return a text that no other process draws."""
    return os.urandom(8).hex()


EMPTY = Entry()


def encode(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    body = bytearray()
    header: dict[str, Any] = {
        "format": FORMAT,
        "generation": entry.generation,
        "contexts": {
            name: _encoded_context(context, body) for name, context in entry.contexts.items()
        },
    }
    if entry.root_key is not None:
        header["root_key"], header["linked_at"] = entry.root_key, entry.linked_at
    if entry.alias_keys:
        header["alias_keys"] = entry.alias_keys
    if entry.groups is not None:
        header["groups"] = attrs.asdict(entry.groups)
    checked = _encode_json(header).encode("utf-8", "surrogatepass") + b"\n" + bytes(body)
    return crc32(checked).to_bytes(CHECKSUM_BYTES, "big") + checked


def decode(data: bytes) -> Entry | None:
    """Return the entry that bytes hold; ``None`` where they hold none that this version reads.

    Entries never change, so that the same bytes may give the same entry again.
    """
    # A store that is not ours may give anything.
    is_cached = type(data) is bytes and len(data) <= MAX_CACHED_BYTES
    return _decode_cached(data) if is_cached else _decode_entry(data)


def _decode_entry(data: bytes) -> Entry | None:
    try:
        checked = data[CHECKSUM_BYTES:]
        if crc32(checked) != int.from_bytes(data[:CHECKSUM_BYTES], "big"):
            return None
        head, _, body = checked.partition(b"\n")
        header = _parse(head)
        if header["format"] != FORMAT:
            return None
        groups = header.get("groups")
        return Entry(
            generation=header["generation"],
            groups=None if groups is None else _decoded_groups(groups),
            contexts={
                name: _decoded_context(context, body)
                for name, context in header["contexts"].items()
            },
            alias_keys=tuple(header.get("alias_keys", ())),
            root_key=header.get("root_key"),
            linked_at=header.get("linked_at", 0.0),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


_decode_cached = lru_cache(maxsize=MAX_CACHED)(_decode_entry)


def _parse(data: bytes) -> Any:
    return _decode_json(data.decode("utf-8", "surrogatepass"))[0]


def _encoded_context(context: StoredContext, body: bytearray) -> dict[str, Any]:
    encoded: dict[str, Any] = {"marks": context.marks}
    record, flags = context.record, context.flags
    if record is not None:
        points: list[list[Any]] = []
        for (site, target), item in _encoded_items(record.items):
            start = len(body)
            body += item
            points.append([site, target, start, len(body)])
        encoded["record"] = {
            "load_id": record.load_id,
            "answered_at": record.answered_at,
            "points": points,
            "advanced_by": [[*point, times] for point, times in record.advanced_by.items()],
            "invalidated": [list(point) for point in record.invalidated],
        }
    if flags is not None:
        encoded["flags"] = {"answered_at": flags.answered_at, "keys": list(flags.keys)}
    if context.last_marked:
        encoded["last_marked"] = [[*key, code] for key, code in context.last_marked.items()]
    return encoded


def _encoded_items(items: Mapping[PointKey, _api.Item]) -> Iterator[tuple[PointKey, bytes]]:
    if isinstance(items, StoredItems):
        return items.as_bytes()
    return (
        (point, _encode_json(item).encode("utf-8", "surrogatepass"))
        for point, item in items.items()
    )


def _decoded_context(context: Mapping[str, Any], body: bytes) -> StoredContext:
    record, flags = context.get("record"), context.get("flags")
    return StoredContext(
        context["marks"],
        None if record is None else _decoded_record(record, body),
        None if flags is None else StoredFlags(flags["answered_at"], tuple(flags["keys"])),
        {
            (site, target, experiment_id): code
            for site, target, experiment_id, code in context.get("last_marked", ())
        },
    )


def _decoded_record(record: Mapping[str, Any], body: bytes) -> StoredRecord:
    spans = {(site, target): (start, end) for site, target, start, end in record["points"]}
    return StoredRecord(
        record["load_id"],
        record["answered_at"],
        StoredItems(body, spans),
        {(site, target): times for site, target, times in record["advanced_by"]},
        frozenset((site, target) for site, target in record["invalidated"]),
    )


def _decoded_groups(groups: Mapping[str, Any]) -> StoredGroups:
    return StoredGroups(
        groups["group"],
        groups["working_group"],
        groups["is_explicit"],
        tuple(groups["superseded"]),
    )
