"""The command line: ``python -m upgrade_client_lib.testing [EXPORT.json ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Event

from .._signals import stopped_by_signals, wait_until_stopped
from .._version import __version__
from .local import DEFAULT_CONTEXT, LocalUpgrade
from .school import sample_school

_SAMPLE = f"""\
A sample school in the context {DEFAULT_CONTEXT}, whose groups are class-1 and class-2. Try it:
at home/banner, student-4 gets the treatment, and student-6 the control."""


def main(
    arguments: Sequence[str] | None = None,
    stopped: Event | None = None,
    *,
    name: str = "python -m upgrade_client_lib.testing",
) -> int:
    """Serve until Ctrl-C, SIGTERM or ``stopped``, or explain; give the exit status.

    ``name`` is what the command is called.
    """
    options = _parser(name).parse_args(arguments)
    try:
        sample = not (options.exports or options.flags)
        if sample:
            local = sample_school(server=options.server)
        else:
            local = LocalUpgrade.from_export(
                options.exports, options.flags, segments=options.segments, server=options.server
            )
        for context in options.contexts:
            local.context(context)
        if options.explain is not None:
            print(local.explain(*options.explain))
            return 0
        with (
            stopped_by_signals(Event() if stopped is None else stopped) as stop,
            local.serve(options.host, options.port, report=_report) as url,
        ):
            _print(f"UpGrade {options.server} at {url}, until Ctrl-C")
            if sample:
                _print(_SAMPLE)
            _print(*_served(local))
            wait_until_stopped(stop)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _served(local: LocalUpgrade) -> Iterator[str]:
    for experiment in local.experiments:
        points = ", ".join(
            point.site if not point.target else f"{point.site}/{point.target}"
            for point in experiment.points
        )
        yield f"  {experiment.context}: {experiment.name}, {experiment.state}, at {points}"
    for flag in local.flags:
        yield f"  {flag.context}: flag {flag.key}, {'enabled' if flag.enabled else 'disabled'}"


def _report(method: str, path: str, user: str | None, status: int, seconds: float) -> None:
    _print(f"{status} {method} {path} {user or '-'} {seconds * 1000:.1f} ms")


def _print(*lines: str) -> None:
    with suppress(BrokenPipeError):  # whoever has read enough may still send requests
        print(*lines, sep="\n", flush=True)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description="Serves experiments and feature flags that UpGrade's web page exported, "
        "or a sample school where none are given.",
    )
    parser.add_argument("exports", nargs="*", metavar="EXPORT.json", help="exported experiments")
    parser.add_argument(
        "--flags", action="append", metavar="FLAGS.json", help="exported feature flags"
    )
    parser.add_argument(
        "--segments", action="append", metavar="SEGMENTS.json", help="exported segments"
    )
    parser.add_argument(
        "--context",
        action="append",
        default=[],
        dest="contexts",
        metavar="NAME",
        help="a context without experiments or flags",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=3030, help="default: %(default)s")
    parser.add_argument(
        "--server", choices=("6.5", "6.7"), default="6.5", help="which UpGrade to stand in for"
    )
    parser.add_argument(
        "--explain",
        nargs=3,
        metavar=("USER", "SITE", "TARGET"),
        help="serve nothing: print why a new user gets a condition there, or none",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser


if __name__ == "__main__":
    sys.exit(main())
