"""Segments: the lists of users and groups that exports include or exclude."""

from __future__ import annotations

from .export_items import Export, Item, read_items
from .model import Segment

_DEEPEST = 50


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
        users: set[str] = set()
        groups: set[tuple[str, str]] = set()
        for entry in lists:
            if entry.get("enabled", bool, True):
                self._collect(entry.object("segment"), (), users, groups)
        return Segment(frozenset(users), frozenset(groups))

    def _collect(
        self,
        segment: Item,
        inside: tuple[str, ...],
        users: set[str],
        groups: set[tuple[str, str]],
    ) -> None:
        """Add the members of a segment, which stands ``inside`` those of these ids."""
        name = segment.text("id", "")
        if name and name in inside:
            raise ValueError(f"{segment.place}: segment {name!r} contains itself")
        if len(inside) > _DEEPEST:
            raise ValueError(f"{segment.place}: segments nested too deeply")
        segment = self._with_members(segment, bool(inside))
        users.update(user.text("userId") for user in segment.objects("individualForSegment"))
        groups.update(
            (group.text("type"), group.text("groupId"))
            for group in segment.objects("groupForSegment")
        )
        for inner in segment.objects("subSegments"):
            place = f"{segment.place.partition(': subSegments')[0]}: subSegments"
            self._collect(Item(inner.value, place), (*inside, name), users, groups)

    def _with_members(self, segment: Item, nested: bool) -> Item:
        """Return the segment with its members, which the export has or ``segments``."""
        segment_id = segment.text("id", "")
        held = [segment.get(f"{kind}ForSegment", list, None) for kind in ("individual", "group")]
        if not nested or any(members is not None for members in held):
            return segment
        if segment_id not in self._by_id:
            raise ValueError(
                f"{segment.place}: the export names segment "
                f"{segment.text('name', segment_id)!r} without its members: "
                "give the export of that segment, too, as segments"
            )
        return self._by_id[segment_id]
