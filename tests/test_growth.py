"""Curves of growth can be measured here, whoever is installed, and their charts be drawn."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import charts, growth
from benchmarks.contestant import Contestant
from benchmarks.curves import records
from benchmarks.curves.measuring import Curves, growing, sizes

LINES = {"ours": [[1.0, 2.0], [10.0, 3.0]], "theirs": [[1.0, 20.0], [10.0, 300.0]]}


# ---- Charts ----


def test_a_chart_names_its_lines_and_those_who_could_not_run() -> None:
    drawn = charts.svg(charts.chart("Reads", "records", "µs", LINES, ["a < b"]))

    assert [drawn.count(f">{text}</text>") for text in ("Reads", "records", "µs")] == [1, 1, 1]
    assert drawn.count("<polyline") == 2
    assert ">\nours</text>" in drawn
    assert ">\ntheirs</text>" in drawn
    assert ">could not run: a &lt; b</text>" in drawn


def test_a_chart_of_all_says_of_nobody_that_it_could_not_run() -> None:
    drawn = charts.chart("Reads", "records", "µs", LINES)

    assert "without" not in drawn
    assert "could not run" not in charts.svg(drawn)


def test_what_is_kept_has_each_point_in_a_line_of_its_own() -> None:
    chart = charts.chart("Reads", "records", "µs", LINES)
    text = growth.written({"growth-reads": chart}, ["a machine"])

    assert "\n     [10.0, 300.0]\n" in text
    assert json.loads(text) == {"machine": ["a machine"], "charts": {"growth-reads": chart}}


# ---- Curves ----


def test_sizes_grow_tenfold() -> None:
    assert list(sizes(100, 20_000)) == [100, 1_000, 10_000]


def test_records_are_added_to_each_store_as_the_library_reads_them() -> None:
    lines = records.charts(100)["growth-records"]["lines"]

    assert {"MemoryStore", "SQLiteStore"} <= set(lines)
    assert all([size for size, _ in line] == [100] for line in lines.values())


def test_who_runs_has_a_line_and_who_cannot_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = Contestant("growing", "nobody_read")
    curves = Curves({"ours": growing("ours_read"), "nobody": nobody})
    curves.alone(10, 1e-6, times=10)

    assert [size for size, _ in curves.lines["ours"]] == [10]
    assert curves.missing == ["nobody"]
    assert list(curves.lines) == ["ours"]
    assert capsys.readouterr().out.count("nobody did not run: AttributeError") == 1


# ---- Peers ----

CONNECTING = """
import socket
from benchmarks.contestants.loopback import stay_on_loopback
stay_on_loopback()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(("localhost", server.getsockname()[1])).close()
{beyond}
"""


@pytest.mark.parametrize(
    "beyond",
    [
        "socket.create_connection(('192.0.2.1', 9))",
        "socket.socket().connect(('192.0.2.1', 9))",
        "socket.getaddrinfo('upgrade.example', 443)",
    ],
)
def test_what_is_compared_reaches_this_machine_alone(beyond: str) -> None:
    program = CONNECTING.format(beyond=beyond)
    ended = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith("is not this machine")
    assert "BeyondLoopbackError" in ended.stderr
