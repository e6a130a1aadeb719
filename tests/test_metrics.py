"""Metrics: what is sent, what is refused before it is sent, and the rows that come back."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Any

import pytest

from tests.support_exchanges import HOST, Answer, ScriptedServer, every_exchange, playing
from tests.support_forms import Form, both_forms
from upgrade_client_lib import (
    BadRequestError,
    ServerError,
    UnreadableAnswerError,
    UpgradeClient,
    UserNotInitializedError,
)
from upgrade_client_lib.testing import LocalUpgrade
from upgrade_client_lib.types import LogGroupMetrics, LogInput, LogMetrics, LogRecord

STAMP = "2026-11-20T08:00:00.000Z"

RECORDED = [
    one
    for one in every_exchange()
    if one.path == "/api/v6/log" and one.answer.status == 200 and one.body is not None
]


POSIX = pytest.mark.skipif(not hasattr(time, "tzset"), reason="elsewhere, programs set no zone")


@pytest.fixture(params=[pytest.param("IST-5:30", marks=POSIX)])
def far_from_utc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have local time run 5:30 h ahead."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# ---- What is sent ----


@both_forms
def test_an_entry_goes_out_with_the_names_of_the_wire(call: Form) -> None:
    server = ScriptedServer(Answer(200, []))
    group = LogGroupMetrics(
        "masteryWorkspace", "area", "attempt-1", {"timeSeconds": 80.5, "status": "GRADUATED"}
    )

    call(server.client().log, [LogInput(STAMP, LogMetrics({"totalTimeSeconds": 95}, [group]))])

    assert (server.only.method, server.only.path) == ("POST", "/api/v6/log")
    assert server.only.json == {
        "value": [
            {
                "timestamp": STAMP,
                "metrics": {
                    "attributes": {"totalTimeSeconds": 95},
                    "groupedMetrics": [
                        {
                            "groupClass": "masteryWorkspace",
                            "groupKey": "area",
                            "groupUniquifier": "attempt-1",
                            "attributes": {"timeSeconds": 80.5, "status": "GRADUATED"},
                        }
                    ],
                },
            }
        ]
    }


ATTEMPT = LogGroupMetrics("class", "key", "1", {"score": 0.5})


@both_forms
@pytest.mark.parametrize(
    ("entry", "same"),
    [
        (
            {"timestamp": STAMP, "metrics": {"attributes": {"a": 1}}},
            LogInput(STAMP, LogMetrics({"a": 1})),
        ),
        (
            {"timestamp": STAMP, "metrics": LogMetrics({"a": 1})},
            LogInput(STAMP, LogMetrics({"a": 1})),
        ),
        (
            {
                "timestamp": STAMP,
                "metrics": {
                    "groupedMetrics": [
                        {
                            "groupClass": "class",
                            "groupKey": "key",
                            "groupUniquifier": "1",
                            "attributes": {"score": 0.5},
                        }
                    ]
                },
            },
            LogInput(STAMP, LogMetrics(groupedMetrics=[ATTEMPT])),
        ),
        (
            {"timestamp": STAMP, "metrics": {"groupedMetrics": (ATTEMPT,)}},
            LogInput(STAMP, LogMetrics({}, [ATTEMPT])),
        ),
    ],
)
def test_dicts_of_the_same_shape_send_the_same(call: Form, entry: object, same: LogInput) -> None:
    server = ScriptedServer(Answer(200, []))
    client = server.client()

    call(client.log, [entry])
    call(client.log, (same,))

    assert server.sent[0].content == server.sent[1].content


@both_forms
@pytest.mark.parametrize(
    ("timestamp", "sent"),
    [
        (datetime(2026, 11, 20, 8, tzinfo=timezone.utc), "2026-11-20T08:00:00.000Z"),
        (datetime(2026, 11, 20, 8, 0, 1, 234567, timezone.utc), "2026-11-20T08:00:01.234Z"),
        (
            datetime(2026, 11, 20, 8, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-11-20T02:30:00.000Z",
        ),
        (
            datetime(2026, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
            "2027-01-01T01:00:00.000Z",
        ),
        ("2026-11-20T08:00:00.000Z", "2026-11-20T08:00:00.000Z"),
        ("2026-11-20T08:00:00+05:30", "2026-11-20T08:00:00+05:30"),
        ("2026-11-20T08:00:00.123456+0000", "2026-11-20T08:00:00.123456+0000"),
        ("2026-11-20 08:00:00", "2026-11-20 08:00:00"),
        ("2026-11-20T08:00", "2026-11-20T08:00"),
        ("2026-11-20", "2026-11-20"),
    ],
)
def test_moments_go_out_in_utc_and_text_as_it_is(
    call: Form, timestamp: datetime | str, sent: str
) -> None:
    server = ScriptedServer(Answer(200, []))

    call(server.client().log, [LogInput(timestamp, LogMetrics({"a": 1}))])

    assert server.only.json["value"][0]["timestamp"] == sent


@pytest.mark.usefixtures("far_from_utc")
def test_a_moment_without_a_zone_is_local_time() -> None:
    server = ScriptedServer(Answer(200, []))

    server.client().log_sync([LogInput(datetime(2026, 7, 1, 12), LogMetrics({"a": 1}))])

    assert server.only.json["value"][0]["timestamp"] == "2026-07-01T06:30:00.000Z"


class ConvertsItself(datetime):
    """A moment such as those of pandas, which refuses to be taken as local time."""

    def astimezone(self, tz: tzinfo | None = None) -> Any:
        raise TypeError("Cannot convert tz-naive Timestamp, use tz_localize to localize")


@pytest.mark.usefixtures("far_from_utc")
@both_forms
@pytest.mark.parametrize(
    ("zone", "sent"),
    [(None, "2026-07-01T06:30:00.123Z"), (timezone.utc, "2026-07-01T12:00:00.123Z")],
)
def test_a_moment_of_a_subclass_goes_out_as_any_other(
    call: Form, zone: tzinfo | None, sent: str
) -> None:
    server = ScriptedServer(Answer(200, []))
    moment = ConvertsItself(2026, 7, 1, 12, 0, 0, 123456, zone)
    with pytest.raises(TypeError):
        moment.astimezone(timezone.utc)

    call(server.client().log, [LogInput(moment, LogMetrics({"a": 1}))])

    assert server.only.json["value"][0]["timestamp"] == sent


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="elsewhere, programs set no zone")
def test_of_an_hour_that_comes_twice_the_second_is_told_from_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ScriptedServer(Answer(200, []))
    first = ConvertsItself(2026, 10, 25, 2, 30)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        for moment in (first, first.replace(fold=1)):
            server.client().log_sync([LogInput(moment, LogMetrics({"a": 1}))])
    time.tzset()

    sent = [one.json["value"][0]["timestamp"] for one in server.sent]
    assert sent == ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z"]


@both_forms
@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        ("int8", -5, -5),
        ("int64", 2**62, 2**62),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("float16", 0.5, 0.5),
        ("float32", 0.1, 0.10000000149011612),
        ("float64", 0.1, 0.1),
        ("longdouble", 1.5, 1.5),
        ("str_", "GRADUATED", "GRADUATED"),
    ],
)
def test_values_of_numpy_go_out_as_those_of_python(
    call: Form, kind: str, value: Any, sent: Any
) -> None:
    server = ScriptedServer(Answer(200, []))
    numpy: Any = pytest.importorskip("numpy")
    scalar = getattr(numpy, kind)(value)
    group = LogGroupMetrics("class", "key", "1", {"a": scalar})

    call(server.client().log, [LogInput(STAMP, LogMetrics({"a": scalar}, [group]))])

    (entry,) = server.only.json["value"]
    found = [entry["metrics"]["attributes"]["a"]]
    found.append(entry["metrics"]["groupedMetrics"][0]["attributes"]["a"])
    assert found == [sent, sent]
    assert [type(one) for one in found] == [type(sent)] * 2


@both_forms
def test_a_fraction_goes_out_as_a_decimal_number(call: Form) -> None:
    server = ScriptedServer(Answer(200, []))

    call(server.client().log, [LogInput(STAMP, LogMetrics({"a": Fraction(1, 8)}))])  # type: ignore[dict-item]

    assert server.only.json["value"][0]["metrics"]["attributes"] == {"a": 0.125}


@both_forms
def test_numbers_and_texts_go_out_as_they_are(call: Form) -> None:
    class Level(IntEnum):
        HIGH = 3

    class Status(str, Enum):
        DONE = "GRADUATED"

    values: dict[str, Any] = {
        "zero": 0,
        "negative": -1.5,
        "large": 1e300,
        "text": "日本😀",
        "blank": " ",
        "number in a text": "95",
        "level": Level.HIGH,
        "status": Status.DONE,
    }
    server = ScriptedServer(Answer(200, []))

    call(server.client().log, [LogInput(STAMP, LogMetrics(values))])

    sent = server.only.json["value"][0]["metrics"]["attributes"]
    assert sent == {**values, "level": 3, "status": "GRADUATED"}


@both_forms
def test_entries_keep_their_order_and_may_come_from_any_iterable(call: Form) -> None:
    server = ScriptedServer(Answer(200, []))

    entries = (LogInput(STAMP, LogMetrics({"attempt": number})) for number in (3, 1, 2))
    call(server.client().log, entries)

    sent = [entry["metrics"]["attributes"]["attempt"] for entry in server.only.json["value"]]
    assert sent == [3, 1, 2]


@both_forms
@pytest.mark.parametrize("nothing", [[], (), iter(())])
def test_no_entries_send_nothing(call: Form, nothing: Any) -> None:
    server = ScriptedServer(Answer(500))

    assert call(server.client().log, nothing) == []
    assert server.sent == []


# ---- What comes back ----


@both_forms
@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: one.name)
def test_every_recorded_log_answer_is_read_whole(call: Form, recorded: Any) -> None:
    client = ScriptedServer(recorded.answer).client(recorded.user_id)

    records: list[LogRecord] = call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])

    assert len(records) == len(recorded.answer.body)
    for record, row in zip(records, recorded.answer.body):
        assert type(record.id) is int
        assert record.id == row["id"]
        assert record.userId == recorded.user_id
        assert record.uniquifier == row["uniquifier"]
        assert record.data == row["data"]
        assert record.timeStamp is not None
        assert record.timeStamp.tzinfo is not None
        assert written(record.timeStamp) == row["timeStamp"]


@both_forms
def test_new_rows_and_updated_rows_come_in_one_answer(call: Form) -> None:
    client, _, _ = playing("log_mixed_2_existing_plus_new")

    updated, new = call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])

    moment = datetime(2026, 11, 23, 10, 0, 1, tzinfo=timezone.utc)
    assert updated == LogRecord(14, "tx-mix-094805", "1", moment, {"totalTimeSeconds": 2})
    assert (new.id, new.userId, new.timeStamp) == (15, "tx-mix-094805", moment)
    assert new.data == {"workspaceCompletionStatus": "GRADUATED"}
    assert [metric["key"] for metric in new.metrics] == ["workspaceCompletionStatus"]


@both_forms
@pytest.mark.parametrize(
    "name",
    ["log_unknown_metric", "log_defined_but_unqueried_metric", "log_unknown_group_class"],
)
def test_metrics_that_the_server_drops_are_no_error(call: Form, name: str) -> None:
    client, server, recorded = playing(name)

    assert call(client.log, recorded.body["value"]) == []
    (sent,) = server.only.json["value"]
    assert sent["timestamp"] == recorded.body["value"][0]["timestamp"]


@both_forms
def test_a_later_value_overwrites_and_an_older_one_is_dropped(call: Form) -> None:
    local = LocalUpgrade()
    local.metric("totalTimeSeconds")
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)
    call(client.init)
    first = datetime(2026, 11, 20, 8, tzinfo=timezone.utc)

    (new,) = call(client.log, [LogInput(first, LogMetrics({"totalTimeSeconds": 95}))])
    (same,) = call(
        client.log, [LogInput(first + timedelta(seconds=1), LogMetrics({"totalTimeSeconds": 96}))]
    )
    dropped = call(client.log, [LogInput(first, LogMetrics({"totalTimeSeconds": 94}))])

    assert new.userId == same.userId == "u1"
    assert (new.data, new.timeStamp) == ({"totalTimeSeconds": 95}, first)
    assert (same.id, same.data) == (new.id, {"totalTimeSeconds": 96})
    assert dropped == []


@pytest.mark.usefixtures("far_from_utc")
@both_forms
def test_the_server_keeps_the_moment_that_was_measured(call: Form) -> None:
    local = LocalUpgrade()
    local.metric("a")
    client = UpgradeClient("u1", HOST, "my-app", transport=local.transport)
    call(client.init)
    naive = datetime(2026, 11, 20, 8, 0, 0, 123000)

    (record,) = call(client.log, [LogInput(naive, LogMetrics({"a": 1}))])

    assert record.timeStamp == datetime(2026, 11, 20, 2, 30, 0, 123000, timezone.utc)


@both_forms
def test_rows_that_cannot_be_read_are_left_out_with_one_warning(
    call: Form, caplog: pytest.LogCaptureFixture
) -> None:
    healthy = {"id": 1, "uniquifier": "1", "timeStamp": STAMP, "data": {"a": 1}, "userId": "u1"}
    rows: list[object] = [None, 5, "row", {}, {**healthy, "data": None}, [healthy], healthy]
    rows.append({**healthy, "id": 2, "more": {"than": "known"}})
    client = ScriptedServer(Answer(200, rows)).client()
    caplog.set_level(logging.WARNING, "upgrade_client_lib")

    records = call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])

    assert [record.id for record in records] == [1, 2]
    (warning,) = caplog.messages
    assert "left out 6 of the log records" in warning


@both_forms
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (7, 7),
        (0, 0),
        ("b3f1c2d4-0000-4000-8000-000000000000", "b3f1c2d4-0000-4000-8000-000000000000"),
        ("7", "7"),
        ("", ""),
        (None, None),
        (True, None),
        ([7], None),
    ],
)
def test_the_id_of_a_row_is_a_number_or_a_text_as_the_server_has_it(
    call: Form, given: object, kept: object
) -> None:
    row = {"id": given, "uniquifier": "1", "timeStamp": STAMP, "data": {"a": 1}}
    client = ScriptedServer(Answer(200, [row])).client()

    (record,) = call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])

    assert record.id == kept
    assert type(record.id) is type(kept)


@both_forms
def test_definitions_in_a_row_that_are_none_are_left_out(call: Form) -> None:
    row = {"id": 1, "uniquifier": "1", "timeStamp": STAMP, "data": {"a": 1}}
    metrics = [None, {"key": "a"}, "a", ["key", "a"]]
    client = ScriptedServer(Answer(200, [{**row, "metrics": metrics}])).client()

    (record,) = call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])

    assert record.metrics == [{"key": "a"}]


@pytest.mark.usefixtures("far_from_utc")
@both_forms
@pytest.mark.parametrize(
    ("time_stamp", "read"),
    [
        ("2026-11-20T08:00:00.000Z", datetime(2026, 11, 20, 8, tzinfo=timezone.utc)),
        ("2026-11-20T13:30:00+05:30", datetime(2026, 11, 20, 8, tzinfo=timezone.utc)),
        ("2026-11-20T08:00:00.123Z", datetime(2026, 11, 20, 8, 0, 0, 123_000, timezone.utc)),
        ("2026-11-20T08:00:00Z", datetime(2026, 11, 20, 8, tzinfo=timezone.utc)),
        ("2026-11-20T08:00:00", datetime(2026, 11, 20, 8, tzinfo=timezone.utc)),
        ("some day", None),
        ("", None),
        (None, None),
        (1700000000, None),
        ([], None),
    ],
)
def test_a_time_that_cannot_be_read_is_none_and_the_row_stays(
    call: Form, time_stamp: object, read: datetime | None
) -> None:
    row: dict[str, object] = {"id": 1, "uniquifier": "1", "timeStamp": time_stamp, "userId": "u1"}
    row["data"] = {"a": 1}
    client = ScriptedServer(Answer(200, [row])).client()

    (record,) = call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])

    assert record.timeStamp == read


@both_forms
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("log_not_initialised", UserNotInitializedError),
        ("log_bool_value", BadRequestError),
        ("log_bad_timestamp_new_user", ServerError),
        ("log_oversized", BadRequestError),
    ],
)
def test_what_the_server_refuses_is_an_error(call: Form, name: str, kind: type[Exception]) -> None:
    client, _, _ = playing(name)

    with pytest.raises(kind):
        call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])


@both_forms
@pytest.mark.parametrize("answer", [{}, None, 5, json.dumps("[]"), {"value": []}])
def test_an_answer_that_is_no_list_is_an_error(call: Form, answer: object) -> None:
    client = ScriptedServer(Answer(200, answer)).client()

    with pytest.raises(UnreadableAnswerError, match="where a list belongs"):
        call(client.log, [LogInput(STAMP, LogMetrics({"a": 1}))])


def written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
