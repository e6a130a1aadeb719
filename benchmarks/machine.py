"""What the benchmarks ran on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = [
    "httpx",
    "httpcore",
    "attrs",
    "launchdarkly-server-sdk",
    "growthbook",
    "posthog",
    "UnleashClient",
    "openfeature-sdk",
    "flagsmith",
    "eppo-server-sdk",
]


def description() -> list[str]:
    """Give lines of Markdown; called before anything else loads the machine."""
    lines = [
        f"- {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"- {platform.python_implementation()} {platform.python_version()}",
    ]
    if hasattr(os, "getloadavg"):
        lines.append(f"- load average when they began: {os.getloadavg()[0]:.2f}")
    lines.append("- " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    return lines


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    models = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return models[0] if models else platform.processor() or "unknown processor"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
