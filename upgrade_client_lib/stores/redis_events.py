"""Events in Redis, for the processes of many machines.

All keys of a queue share a hash tag, so that they lie on one node of a cluster:

- ``event:<id>`` is a hash: an event's line, position, state and data,
- ``lines`` is a sorted set of lines with something to take, by when they are due, leases included,
- ``owner``, ``passed`` and ``number`` are hashes by line: who leased it, which position it is past,
  and how many events of any state it has,
- ``line:<line>`` is a sorted set of the ids that stand in a line, by position,
- ``state:<state>`` is one of the ids in a state, and ``states`` is the set of all states,
- ``position`` is the last one given out, and ``remembered:<id>`` expires when the id is forgotten.

Each change is one script, which Redis runs as a whole, and measures time by Redis's clock.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from .arguments import check_event, check_key
from .event_protocol import Added, StoredEvent

_PRELUDE = """
local base = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local function key(name) return base .. name end
local function event(id)
    local found = redis.call('HMGET', key('event:' .. id), 'line', 'position', 'state', 'data')
    if not found[1] then return nil end
    return {id = id, line = found[1], position = found[2], state = found[3], data = found[4]}
end
local function change(e, state, data)
    redis.call('ZREM', key('state:' .. e.state), e.id)
    redis.call('ZADD', key('state:' .. state), e.position, e.id)
    redis.call('HSET', key('event:' .. e.id), 'state', state, 'data', data)
end
local function drop(e)
    redis.call('DEL', key('event:' .. e.id))
    redis.call('ZREM', key('state:' .. e.state), e.id)
    redis.call('ZREM', key('line:' .. e.line), e.id)
    if redis.call('HINCRBY', key('number'), e.line, -1) <= 0 then
        redis.call('HDEL', key('number'), e.line)
        redis.call('HDEL', key('passed'), e.line)
    end
end
local function release(line, due)
    redis.call('HDEL', key('owner'), line)
    if redis.call('EXISTS', key('line:' .. line)) == 1 then
        redis.call('ZADD', key('lines'), due, line)
    else
        redis.call('ZREM', key('lines'), line)
    end
end
local function pass(line, position)
    local passed = redis.call('HGET', key('passed'), line) or '0'
    if tonumber(position) > tonumber(passed) then
        redis.call('HSET', key('passed'), line, position)
    end
end
local function leased(line)
    return redis.call('HEXISTS', key('owner'), line) == 1
        and tonumber(redis.call('ZSCORE', key('lines'), line)) > now
end
"""


class _Script:
    """A script, which Redis keeps under its hash."""

    def __init__(self, body: str) -> None:
        self.text = f"{_PRELUDE}{body}"
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_ADD = _Script("""
local id, line, data, most, remember = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
if redis.call('EXISTS', key('event:' .. id), key('remembered:' .. id)) > 0 then return 'known' end
local held = 0
for _, state in ipairs(redis.call('SMEMBERS', key('states'))) do
    held = held + redis.call('ZCARD', key('state:' .. state))
end
if held >= most then return 'full' end
local position = redis.call('INCR', key('position'))
redis.call('HSET', key('event:' .. id),
    'line', line, 'position', position, 'state', 'waiting', 'data', data)
redis.call('SADD', key('states'), 'waiting')
redis.call('ZADD', key('state:waiting'), position, id)
redis.call('ZADD', key('line:' .. line), position, id)
redis.call('HINCRBY', key('number'), line, 1)
redis.call('ZADD', key('lines'), 'NX', now, line)
if remember ~= '0' then redis.call('SET', key('remembered:' .. id), '', 'PX', remember) end
return 'added'
""")

_TAKE = _Script("""
local owner, lease = ARGV[1], tonumber(ARGV[2])
local line = redis.call('ZRANGEBYSCORE', key('lines'), '-inf', now, 'LIMIT', 0, 1)[1]
if not line then return false end
local e = event(redis.call('ZRANGE', key('line:' .. line), 0, 0)[1])
redis.call('HSET', key('owner'), line, owner)
redis.call('ZADD', key('lines'), now + lease, line)
redis.call('SADD', key('states'), 'sending')
change(e, 'sending', e.data)
return {e.id, e.line, e.position, e.state, e.data}
""")

_SETTLE = _Script("""
local id, owner, removed, state, data = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local delay, passes = tonumber(ARGV[6]), ARGV[7]
local e = event(id)
if not e or e.state ~= 'sending' then return 0 end
if redis.call('HGET', key('owner'), e.line) ~= owner then return 0 end
if passes == '1' then pass(e.line, e.position) end
if removed == '1' then
    drop(e)
else
    redis.call('SADD', key('states'), state)
    change(e, state, data)
    if state ~= 'waiting' then redis.call('ZREM', key('line:' .. e.line), id) end
end
release(e.line, now + delay)
return 1
""")

_REOPEN = _Script("""
local e = event(ARGV[1])
if not e or e.state == 'waiting' or e.state == 'sending' then return 0 end
local passed = redis.call('HGET', key('passed'), e.line) or '0'
if tonumber(passed) > tonumber(e.position) then return 0 end
local first = redis.call('ZRANGE', key('line:' .. e.line), 0, 0)[1]
local head = first and event(first)
if head and head.state == 'sending' and tonumber(head.position) > tonumber(e.position) then
    return 0
end
change(e, 'waiting', ARGV[2])
redis.call('ZADD', key('line:' .. e.line), e.position, e.id)
redis.call('ZADD', key('lines'), 'NX', now, e.line)
return 1
""")

_PASS = _Script("""
if redis.call('HEXISTS', key('number'), ARGV[1]) == 1 then
    pass(ARGV[1], redis.call('GET', key('position')) + 1)
end
return 1
""")

_REMOVE = _Script("""
local e = event(ARGV[1])
if not e then return 0 end
if e.state == 'sending' then
    if leased(e.line) then return 0 end
    pass(e.line, e.position)
end
drop(e)
if e.state == 'sending' or redis.call('HEXISTS', key('owner'), e.line) == 0 then
    release(e.line, now)
end
return 1
""")

_EVENTS = """
local found = {}
for _, id in ipairs(ids) do
    local e = event(id)
    table.insert(found, {e.id, e.line, e.position, e.state, e.data})
end
return found
"""
_GET = _Script("local ids = {}\nif event(ARGV[1]) then ids = {ARGV[1]} end\n" + _EVENTS)
_LINE = _Script("local ids = redis.call('ZRANGE', key('line:' .. ARGV[1]), 0, -1)\n" + _EVENTS)
_LIST = _Script(
    "local ids = redis.call('ZRANGE', key('state:' .. ARGV[1]), 0, ARGV[2] - 1)\n" + _EVENTS
)

_COUNT = _Script("""
local found = {}
for _, state in ipairs(redis.call('SMEMBERS', key('states'))) do
    table.insert(found, state)
    table.insert(found, redis.call('ZCARD', key('state:' .. state)))
end
return found
""")

_DUE = _Script("""
local first = redis.call('ZRANGE', key('lines'), 0, 0, 'WITHSCORES')
if not first[1] then return -1 end
return math.max(math.ceil(tonumber(first[2]) - now), 0)
""")


class RedisEvents:
    """The part of a ``RedisStore`` that keeps events."""

    _prefix: str
    _no_script: type[Exception]
    _loops: Any

    if TYPE_CHECKING:

        def _blocking(self) -> Any: ...

    def add_event(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Add an event at the end of its line; see ``EventStore``."""
        check_event(queue, event_id, line, data)
        added = self._run(_ADD, queue, event_id, line, data, max_events, _milliseconds(remember))
        return cast("Added", added.decode())

    async def add_event_async(
        self, queue: str, event_id: str, line: str, data: bytes, *, max_events: int, remember: float
    ) -> Added:
        """Do what :meth:`add_event` does."""
        if self._loops is None:
            return await asyncio.to_thread(
                self.add_event,
                queue,
                event_id,
                line,
                data,
                max_events=max_events,
                remember=remember,
            )
        check_event(queue, event_id, line, data)
        key = self._queue_key(queue)
        arguments = (event_id, line, data, max_events, _milliseconds(remember))

        async def add(client: Any) -> Any:
            try:
                return await client.evalsha(_ADD.sha, 1, key, *arguments)
            except self._no_script:
                return await client.eval(_ADD.text, 1, key, *arguments)

        return cast("Added", (await self._loops.run(add)).decode())

    def take_event(self, queue: str, owner: str, lease: float) -> StoredEvent | None:
        """Lease a line and return its head; see ``EventStore``."""
        check_key(owner)
        found = self._run(_TAKE, queue, owner, _milliseconds(lease))
        return None if found is None else _event(found)

    def settle_event(
        self,
        queue: str,
        event_id: str,
        owner: str,
        *,
        state: str | None,
        data: bytes = b"",
        delay: float = 0.0,
        passes: bool = False,
    ) -> bool:
        """Give an event another state and end the lease of its line; see ``EventStore``."""
        settled = self._run(
            _SETTLE,
            queue,
            event_id,
            owner,
            int(state is None),
            state or "",
            data,
            _milliseconds(delay),
            int(passes),
        )
        return bool(settled)

    def reopen_event(self, queue: str, event_id: str, data: bytes) -> bool:
        """Have an event that was set aside wait again; see ``EventStore``."""
        return bool(self._run(_REOPEN, queue, event_id, data))

    def pass_line(self, queue: str, line: str) -> None:
        """Note that a line is past all its events; see ``EventStore``."""
        self._run(_PASS, queue, line)

    def remove_event(self, queue: str, event_id: str) -> bool:
        """Remove an event, unless it is being sent; see ``EventStore``."""
        return bool(self._run(_REMOVE, queue, event_id))

    def get_event(self, queue: str, event_id: str) -> StoredEvent | None:
        """Return an event."""
        found = self._run(_GET, queue, event_id)
        return _event(found[0]) if found else None

    def line_events(self, queue: str, line: str) -> list[StoredEvent]:
        """Return the events that stand in a line, in their order."""
        return [_event(found) for found in self._run(_LINE, queue, line)]

    def list_events(self, queue: str, state: str, limit: int) -> list[StoredEvent]:
        """Return the events of a state, the oldest first."""
        return [_event(found) for found in self._run(_LIST, queue, state, limit)]

    def count_events(self, queue: str) -> dict[str, int]:
        """Return how many events there are of each state."""
        found = self._run(_COUNT, queue)
        counts = zip(found[::2], found[1::2])
        return {state.decode(): number for state, number in counts if number}

    def seconds_until_due(self, queue: str) -> float | None:
        """Return when a line is due or its lease expires; ``None`` for no line."""
        milliseconds = self._run(_DUE, queue)
        return None if milliseconds < 0 else milliseconds / 1000

    def _run(self, script: _Script, queue: str, *arguments: object) -> Any:
        client = self._blocking()
        key = self._queue_key(queue)
        try:
            return client.evalsha(script.sha, 1, key, *arguments)
        except self._no_script:
            return client.eval(script.text, 1, key, *arguments)

    def _queue_key(self, queue: str) -> str:
        return f"{self._prefix}{{{queue}}}:"


def _event(found: Sequence[Any]) -> StoredEvent:
    event_id, line, position, state, data = found
    return StoredEvent(event_id.decode(), line.decode(), int(position), state.decode(), data)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
