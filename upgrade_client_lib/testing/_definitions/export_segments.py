"""Segments: the lists of users and groups that exports include or exclude."""

from __future__ import annotations

import attrs

from .export_items import Export, Item, read_items
from .model import Segment

_DEEPEST = 50


@attrs.define
class _Members:
    """What was collected so far, and the ids of the segments it came from."""

    users: set[str] = attrs.field(factory=set[str])
    groups: set[tuple[str, str]] = attrs.field(factory=set[tuple[str, str]])
    segments: set[str] = attrs.field(factory=set[str])


class SegmentReader:
    """Reads the lists of experiments and flags.

    An export leaves the members of segments out that stand inside its lists; ``segments`` is the
    export of these.
    """

    def __init__(self, segments: Export | None) -> None:
        self._by_id: dict[str, Item] = {}
        for item in () if segments is None else read_items(segments, "segment"):
            self._by_id[item.text("id")] = item

    def members(self, lists: list[Item]) -> Segment:
        """Return the users and groups of the enabled lists."""
        found = _Members()
        for entry in lists:
            if entry.get("enabled", bool, True):
                self._collect(entry.object("segment"), (), found)
        return Segment(frozenset(found.users), frozenset(found.groups))

    def _collect(self, segment: Item, inside: tuple[str, ...], found: _Members) -> None:
        """Add the members of a segment, which stands ``inside`` those of these ids."""
        name = segment.text("id", "")
        if name and name in inside:
            raise ValueError(f"{segment.place}: segment {name!r} contains itself")
        if len(inside) > _DEEPEST:
            raise ValueError(f"{segment.place}: segments nested too deeply")
        if name and name in found.segments:
            return
        segment = self._with_members(segment, bool(inside))
        found.users.update(user.text("userId") for user in segment.objects("individualForSegment"))
        found.groups.update(
            (group.text("type"), group.text("groupId"))
            for group in segment.objects("groupForSegment")
        )
        for inner in segment.objects("subSegments"):
            place = f"{segment.place.partition(': subSegments')[0]}: subSegments"
            self._collect(Item(inner.value, place), (*inside, name), found)
        found.segments.add(name)

    def _with_members(self, segment: Item, nested: bool) -> Item:
        """Return the segment with its members, which the export has or ``segments``.

        A list of an experiment or a flag may hold segments alone.
        """
        segment_id = segment.text("id", "")
        fields = ("individualForSegment", "groupForSegment", *([] if nested else ["subSegments"]))
        if any(segment.get(field, list, None) is not None for field in fields):
            return segment
        if segment_id not in self._by_id:
            raise ValueError(
                f"{segment.place}: the export names segment "
                f"{segment.text('name', segment_id)!r} without its members: "
                "give the export of that segment, too, as segments"
            )
        return self._by_id[segment_id]
