"""Metrics that the server would refuse or lose are refused before anything is sent."""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.support_exchanges import Answer, ScriptedServer
from tests.support_forms import Form, both_forms
from upgrade_client_lib.types import LogGroupMetrics, LogInput, LogMetrics

STAMP = "2026-11-20T08:00:00.000Z"
ATTEMPT = LogGroupMetrics("class", "key", "1", {"score": 0.5})


@both_forms
@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        "",
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        [],
        [1],
        {},
        {"a": 1},
        b"95",
        Decimal(95),
        Fraction(10**400),
        1j,
        object(),
        pytest.param(10**5000, id="a number that Python does not even print"),
        "a\0b",
        "\ud800",
    ],
)
@pytest.mark.parametrize("as_dict", [False, True])
def test_a_value_that_the_server_would_refuse_is_named_and_not_sent(
    call: Form, value: Any, as_dict: bool
) -> None:
    server = ScriptedServer(Answer(500))
    good, bad = {"fine": 1}, {"fine": 1, "totalTimeSeconds": value}
    plain = LogInput(STAMP, LogMetrics(bad))
    grouped = LogInput(STAMP, LogMetrics({}, [ATTEMPT, LogGroupMetrics("c", "k", "u", bad)]))
    entries: list[Any] = [LogInput(STAMP, LogMetrics(good)), plain]
    if as_dict:
        entries = [{"timestamp": STAMP, "metrics": {"attributes": one}} for one in (good, bad)]

    with pytest.raises(
        ValueError, match=r"metrics\[1\]\.metrics\.attributes\['totalTimeSeconds'\]"
    ):
        call(server.client().log, entries)
    with pytest.raises(
        ValueError,
        match=r"metrics\[0\]\.metrics\.groupedMetrics\[1\]\.attributes\['totalTimeSeconds'\]",
    ):
        call(server.client().log, [grouped])

    assert server.sent == []


@both_forms
@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("float32", (math.nan,), "must be a finite number"),
        ("float16", (math.inf,), "must be a finite number"),
        ("float64", (-math.inf,), "must be a finite number"),
        ("bool_", (True,), "must be a text or a number, not "),
        ("timedelta64", (95, "s"), "must be a text or a number, not "),
        ("datetime64", ("2026-11-20",), "must be a text or a number, not "),
        ("complex64", (1,), "must be a text or a number, not "),
        ("array", ([1],), "must be a text or a number, not "),
    ],
)
def test_a_value_of_numpy_that_is_no_finite_number_is_named_and_not_sent(
    call: Form, kind: str, given: tuple[Any, ...], said: str
) -> None:
    numpy: Any = pytest.importorskip("numpy")
    server = ScriptedServer(Answer(500))
    entry = LogInput(STAMP, LogMetrics({"timeSeconds": getattr(numpy, kind)(*given)}))

    with pytest.raises(
        ValueError, match=rf"metrics\[0\]\.metrics\.attributes\['timeSeconds'\] {said}"
    ):
        call(server.client().log, [entry])

    assert server.sent == []


class NotATime(datetime):
    """A missing moment, such as that of pandas."""

    def timetz(self) -> time:
        raise ValueError("NaTType does not support timetz")


@both_forms
@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"metrics": {}}, r"metrics\[0\] lacks its 'timestamp'"),
        ({"timestamp": STAMP}, r"metrics\[0\] lacks its 'metrics'"),
        ({"timestamp": STAMP, "metrics": {}, "userId": "u1"}, r"metrics\[0\] has no 'userId'"),
        (
            {"timestamp": STAMP, "metrics": {"attribute": {}}},
            r"metrics\[0\]\.metrics has no 'attribute'; its keys are attributes, groupedMetrics",
        ),
        (
            {"timestamp": STAMP, "metrics": {"attributes": [1]}},
            r"metrics\[0\]\.metrics\.attributes must map names to values",
        ),
        (
            {"timestamp": STAMP, "metrics": {"attributes": None}},
            r"metrics\[0\]\.metrics\.attributes must map names to values, not None",
        ),
        (
            {"timestamp": STAMP, "metrics": {"attributes": {"": 1}}},
            r"a name in metrics\[0\]\.metrics\.attributes must not be empty",
        ),
        (
            {"timestamp": STAMP, "metrics": {"attributes": {5: 1}}},
            r"a name in metrics\[0\]\.metrics\.attributes must be a text, not 5",
        ),
        (
            {"timestamp": STAMP, "metrics": {"groupedMetrics": {}}},
            r"metrics\[0\]\.metrics\.groupedMetrics must be a list",
        ),
        (
            {"timestamp": STAMP, "metrics": {"groupedMetrics": [{"groupClass": "c"}]}},
            r"metrics\[0\]\.metrics\.groupedMetrics\[0\] lacks its 'groupKey'",
        ),
        (
            LogInput(STAMP, LogMetrics({}, [LogGroupMetrics("", "k", "u", {})])),
            r"metrics\[0\]\.metrics\.groupedMetrics\[0\]\.groupClass must not be empty",
        ),
        (
            LogInput(STAMP, LogMetrics({}, [LogGroupMetrics("c", None, "u", {})])),  # type: ignore[arg-type]
            r"groupedMetrics\[0\]\.groupKey must be a text, not None",
        ),
        (
            LogInput(STAMP, LogMetrics({}, [LogGroupMetrics("c", "k", 7, {})])),  # type: ignore[arg-type]
            r"groupedMetrics\[0\]\.groupUniquifier must be a text, not 7",
        ),
        (
            LogInput(STAMP, LogMetrics({}, [LogGroupMetrics("c", "k", "u", None)])),  # type: ignore[arg-type]
            r"groupedMetrics\[0\]\.attributes must map names to values",
        ),
    ],
)
def test_an_entry_of_another_shape_is_named_and_not_sent(
    call: Form, entry: object, named: str
) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises(ValueError, match=named):
        call(server.client().log, [entry])

    assert server.sent == []


@both_forms
@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        ("totalTimeSeconds", "metrics must be a list of LogInput, not str"),
        (None, "metrics must be a list of LogInput, not NoneType"),
        ({"timestamp": STAMP}, "metrics must be a list of LogInput, not dict"),
        (LogInput(STAMP, LogMetrics()), "metrics must be a list of LogInput, not LogInput"),
        (["totalTimeSeconds"], r"metrics\[0\] must be a LogInput or a mapping"),
        ([LogInput(STAMP, None)], r"metrics\[0\]\.metrics must be a LogMetrics or a mapping"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_list_of_entries_is_a_type_error(call: Form, metrics: Any, named: str) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises(TypeError, match=named):
        call(server.client().log, metrics)

    assert server.sent == []


@both_forms
@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        " ",
        "yesterday",
        "1700000000",
        "2026",
        "10",
        "2026-13-45",
        "2026-00-10",
        "٢٠٢٦-11-20",
        "2026-11-32",
        "2026-11-20T25:00:00Z",
        "2026-11-20T10:60:00Z",
        "2026-11-20T10:00:00+99:99",
        "2026-11-20T10:00:00,5Z",
        "20261120T080000Z",
        "Fri, 20 Nov 2026 08:00:00 GMT",
        "monday",
        "10am",
        "2026-11-20T08:00:00Z\0",
        None,
        1700000000,
        1700000000.5,
        date(2026, 11, 20),
        NotATime(2026, 11, 20),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ],
)
def test_a_time_that_the_server_would_lose_is_named_and_not_sent(
    call: Form, timestamp: Any
) -> None:
    server = ScriptedServer(Answer(500))
    good = LogInput(STAMP, LogMetrics({"a": 1}))

    with pytest.raises(ValueError, match=r"metrics\[1\]\.timestamp"):
        call(server.client().log, [good, LogInput(timestamp, LogMetrics({"a": 1}))])

    assert server.sent == []


@both_forms
def test_text_that_is_no_unicode_is_refused_before_anything_is_sent(call: Form) -> None:
    server = ScriptedServer(Answer(500))

    with pytest.raises(ValueError, match="not valid Unicode"):
        call(server.client().log, [LogInput(STAMP, LogMetrics({"status": "\ud800"}))])

    assert server.sent == []
