"""What led to an error, without what its caller was handling before."""

from __future__ import annotations

import sys
from collections.abc import Iterator


def being_handled() -> BaseException | None:
    """Give the exception whose handler this is called in; Python chains later ones to it."""
    return sys.exc_info()[1]


def causes(error: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    """Give an error and what led to it, up to what was ``being_handled`` before."""
    cause: BaseException | None = error
    while cause is not None and cause is not before:
        yield cause
        cause = cause.__cause__ or cause.__context__
