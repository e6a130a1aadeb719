"""The server's random number generator: one fraction for each seed.

UpGrade seeds a generator anew for every draw and takes its first fraction: ARC4, keyed with the
seed's UTF-16 code units, its first 256 bytes thrown away. ``fraction`` does the same arithmetic, so
that a draw here is the draw there, to the last bit.
"""

from __future__ import annotations

from functools import lru_cache

_IDENTITY = list(range(256))
_STEPS = tuple(index & 255 for index in range(1, 257))


@lru_cache(maxsize=65536)
def fraction(seed: str) -> float:
    """Return the first number, in [0, 1), of the generator seeded with ``seed``."""
    state, j = _scheduled(_key(seed))
    i = 0

    def next_byte() -> int:
        nonlocal i, j
        i = (i + 1) & 255
        a = state[i]
        j = (j + a) & 255
        b = state[j]
        state[i], state[j] = b, a
        return state[(a + b) & 255]

    numerator, denominator, extra = 0, 1 << 48, 0
    for _ in range(6):
        numerator = numerator * 256 + next_byte()
    # Whole bytes are added until a double's significand is full; what is then too many is
    # shifted out again, so that the sum below never rounds up to 1.
    while numerator < 1 << 52:
        numerator = (numerator + extra) * 256
        denominator *= 256
        extra = next_byte()
    while numerator >= 1 << 53:
        numerator //= 2
        denominator //= 2
        extra >>= 1
    return (numerator + extra) / denominator


def _key(seed: str) -> list[int]:
    units = list(seed.encode("utf-16-le", "surrogatepass")[::2])  # the low byte is all that counts
    if len(units) <= 256:
        return units or [0]
    key = [0] * 256
    smear = 0
    for position, unit in enumerate(units):
        slot = position & 255
        smear ^= key[slot] * 19
        key[slot] = (smear + unit) & 255
    return key


def _scheduled(key: list[int]) -> tuple[list[int], int]:
    """Return ARC4's state and second index after key schedule and the 256 discarded bytes."""
    state = _IDENTITY[:]
    repeated = key * (256 // len(key) + 1)
    j = 0
    for i in _IDENTITY:
        a = state[i]
        j = (j + repeated[i] + a) & 255
        state[i] = state[j]
        state[j] = a
    j = 0
    for i in _STEPS:
        a = state[i]
        j = (j + a) & 255
        state[i] = state[j]
        state[j] = a
    return state, j
