"""`nox -s bench -- --check` notices what has become slower; how fast anything is, no test says."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest

from benchmarks import __main__ as command, check, pair

EXPECTED = {
    "mark": {"ratio": 0.8, "noise": 0.02, "tolerance": 0.15},
    "import": {"ratio": 1.1, "noise": 0.01, "tolerance": 0.2},
}


def measuring(**ratios: Sequence[float]) -> Callable[[str], float]:
    """Return what gives the ratios of each comparison one after the other."""
    left = {name: iter(given) for name, given in ratios.items()}
    return lambda name: next(left[name])


# ---- Ratios ----


def test_a_usual_ratio_is_that_of_most_rounds_whatever_else_the_machine_did() -> None:
    assert check.median_ratio([(1.0, 2.0), (50.0, 2.0), (3.0, 6.0)]) == 0.5


def test_the_best_ratio_is_that_of_the_shortest_times_wherever_they_were() -> None:
    assert check.best_ratio([(9.0, 2.0), (1.0, 7.0), (3.0, 4.0)]) == 0.5


# ---- The check ----


@pytest.mark.parametrize("ratio", [0.8, 0.91])
def test_a_ratio_within_its_tolerance_passes(
    ratio: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.check(measuring(mark=[ratio]), EXPECTED, ["mark"])
    assert capsys.readouterr().out == f"mark: {ratio:.3f}, recorded 0.800, at most 0.920\n"


@pytest.mark.parametrize("ratio", [0.93, 0.8 * 1.3])
def test_a_ratio_that_is_too_high_each_time_fails(
    ratio: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not check.check(measuring(mark=[ratio] * 3), EXPECTED, ["mark"])
    line = f"mark: {ratio:.3f}, recorded 0.800, at most 0.920: slower\n"
    assert capsys.readouterr().out == 3 * line


def test_a_ratio_that_is_too_high_only_at_times_passes() -> None:
    assert check.check(measuring(mark=[1.0, 1.0, 0.8]), EXPECTED, ["mark"])


def test_a_slower_comparison_is_measured_again_after_the_others_and_fails_the_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ratios = measuring(**{"mark": [1.04] * 3, "import": [1.3]})

    assert not check.check(ratios, EXPECTED, ["mark", "import"])
    slower = "mark: 1.040, recorded 0.800, at most 0.920: slower"
    assert capsys.readouterr().out.splitlines() == [
        slower,
        "import: 1.300, recorded 1.100, at most 1.320",
        slower,
        slower,
    ]


def test_what_has_become_much_faster_is_to_be_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.check(measuring(mark=[0.5]), EXPECTED, ["mark"])
    assert capsys.readouterr().out.endswith(f"; to keep it so, run `{check.RECORD}`\n")


# ---- Records ----


def test_a_record_is_the_median_of_runs_and_how_far_one_was_from_it() -> None:
    renewed = check.record(measuring(mark=[0.8, 0.82, 0.79, 0.8, 0.84]), EXPECTED, ["mark"])

    assert renewed["mark"] == {"ratio": 0.8, "noise": 0.05, "tolerance": 0.15}
    assert renewed["import"] == EXPECTED["import"]


def test_each_comparison_has_a_tolerance_between_its_noise_and_what_it_must_notice() -> None:
    comparisons = json.loads(check.EXPECTED.read_text("utf-8"))["comparisons"]

    assert list(comparisons) == list(check.COMPARISONS)
    for expected in comparisons.values():
        assert 2 * expected["noise"] < expected["tolerance"] < check.PLANTED


# ---- Rounds ----


@pytest.mark.parametrize(("slower", "ratio"), [(0.0, 2.0), (0.3, 2.6)])
def test_both_are_timed_in_turn_and_ours_can_be_made_slower(
    slower: float, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def contestant(name: str, seconds: float) -> Callable[[str], Callable[[int], float]]:
        def timed(loops: int) -> float:
            calls.append(name)
            return loops * seconds

        return lambda address: timed

    made_up: Any = ModuleType("contestants.made_up")
    made_up.ours, made_up.yardstick = contestant("ours", 0.002), contestant("yardstick", 0.001)
    monkeypatch.setattr(sys, "path", [str(Path(pair.__file__).parent), *sys.path])
    monkeypatch.setitem(sys.modules, "contestants.made_up", made_up)

    rounds = pair.measure(
        {
            "ours": ("made_up", "ours"),
            "yardstick": ("made_up", "yardstick"),
            "address": "",
            "clock": "process_time",
            "rounds": 4,
            "seconds": 0.01,
            "slower": slower,
        }
    )

    assert check.median_ratio(rounds) == check.best_ratio(rounds) == pytest.approx(ratio)
    if not slower:
        assert calls[-8:] == ["yardstick", "ours", "ours", "yardstick"] * 2


# ---- The command ----


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of what is expected of the Python that runs."""
    comparison = {"ratio": 1.0, "noise": 0.01, "tolerance": 0.15}
    comparisons = dict.fromkeys(check.COMPARISONS, comparison)
    written = tmp_path / "expected.json"
    written.write_text(json.dumps({"python": check.PYTHON, "comparisons": comparisons}), "utf-8")
    monkeypatch.setattr(check, "EXPECTED", written)
    return written


def status_of(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run the command with ratios of 1, and of 1.3 where ours is to be slower."""

    def measure(self: check.Comparison, address: str, *, slower: bool) -> float:
        assert address.startswith("http://127.0.0.1:")
        return 1.3 if slower else 1.0

    monkeypatch.setattr(check.Comparison, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    return ended.value.code


@pytest.mark.usefixtures("expected")
def test_the_exit_status_is_0_when_nothing_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_of(["--check"], monkeypatch) == 0


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("name", check.COMPARISONS)
def test_anything_that_is_slower_by_30_percent_fails(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(["--check", name, "--slower", name], monkeypatch) == 1


def test_what_is_recorded_is_expected_from_then_on(
    expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status_of(["--check", "mark", "--record", "--slower", "mark"], monkeypatch) == 0
    assert json.loads(expected.read_text("utf-8"))["comparisons"]["mark"]["ratio"] == 1.3
    assert status_of(["--check", "mark", "--slower", "mark"], monkeypatch) == 0


def test_another_python_than_that_of_the_record_is_refused(
    expected: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected.write_text(json.dumps({"python": "3.99", "comparisons": {}}), "utf-8")

    assert status_of(["--check"], monkeypatch) == 1
    told = f"The ratios are those of Python 3.99, and this is {check.PYTHON}\n"
    assert capsys.readouterr().out == told
