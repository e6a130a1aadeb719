"""SDKs that users might have instead: a flag and a text variation, read from memory.

Each has one flag that is on for everybody and one variation with the value ``treatment``, in the
way that its own documentation offers for tests or for work without a network.
"""

# Checkers do not have them:
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import partial
from typing import Any

from .timed import Timed, blocking

FLAG = "new-dashboard"
VARIATION = "banner"
USER = "learner-1"


def _checked(timed: Timed, value: object, expected: object) -> Timed:
    """Refuse a set-up that answers with a default instead of its data."""
    if value != expected:
        raise ValueError(f"gave {value!r} instead of {expected!r}")
    return timed


# ---- LaunchDarkly ----


def _launchdarkly() -> tuple[Any, Any]:
    import ldclient
    from ldclient.config import Config
    from ldclient.integrations.test_data import TestData

    data = TestData.data_source()
    data.update(data.flag(FLAG).variation_for_all(True))
    data.update(data.flag(VARIATION).variations("control", "treatment").variation_for_all(1))
    client = ldclient.LDClient(Config("key", update_processor_class=data, send_events=False))
    return client, ldclient.Context.create(USER)


def launchdarkly_flag(_: str) -> Timed:
    client, user = _launchdarkly()
    arguments = (FLAG, user, False)
    return _checked(blocking(client.variation, *arguments), client.variation(*arguments), True)


def launchdarkly_variation(_: str) -> Timed:
    client, user = _launchdarkly()
    arguments = (VARIATION, user, "control")
    return _checked(
        blocking(client.variation, *arguments), client.variation(*arguments), "treatment"
    )


# ---- GrowthBook ----


def _growthbook() -> Any:
    from growthbook import GrowthBook

    return GrowthBook(
        attributes={"id": USER},
        features={FLAG: {"defaultValue": True}, VARIATION: {"defaultValue": "treatment"}},
    )


def growthbook_flag(_: str) -> Timed:
    client = _growthbook()
    return _checked(blocking(client.is_on, FLAG), client.is_on(FLAG), True)


def growthbook_variation(_: str) -> Timed:
    client = _growthbook()
    read = client.get_feature_value
    return _checked(blocking(read, VARIATION, "control"), read(VARIATION, "control"), "treatment")


# ---- PostHog ----


def _posthog() -> Any:
    import posthog

    def flag(key: str, variants: list[str]) -> dict[str, object]:
        shares = [{"key": name, "rollout_percentage": 100 // len(variants)} for name in variants]
        everybody = {"properties": [], "rollout_percentage": 100}
        return {
            "key": key,
            "active": True,
            "filters": {"groups": [everybody], "multivariate": {"variants": shares}},
        }

    client = posthog.Posthog("key", host="http://127.0.0.1:1", send=False)
    client.feature_flags = [flag(FLAG, []), flag(VARIATION, ["treatment"])]
    return client.evaluate_flags(USER, only_evaluate_locally=True)


def posthog_flag(_: str) -> Timed:
    flags = _posthog()
    read = partial(flags.is_enabled, send_feature_flag_events=False)
    return _checked(blocking(read, FLAG), read(FLAG), True)


def posthog_variation(_: str) -> Timed:
    flags = _posthog()
    read = partial(flags.get_flag, send_feature_flag_events=False)
    return _checked(blocking(read, VARIATION), read(VARIATION), "treatment")


# ---- Unleash ----


def _unleash() -> Any:
    import tempfile

    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    everybody = {"name": "default", "parameters": {}}
    treatment = {
        "name": "treatment",
        "weight": 1000,
        "weightType": "variable",
        "stickiness": "default",
        "payload": {"type": "string", "value": "treatment"},
    }
    cache = FileCache("benchmarks", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict(
        {
            "version": 2,
            "features": [
                {"name": FLAG, "enabled": True, "strategies": [everybody]},
                {
                    "name": VARIATION,
                    "enabled": True,
                    "strategies": [everybody],
                    "variants": [treatment],
                },
            ],
        }
    )
    client = UnleashClient(
        "http://127.0.0.1:1/api",
        "benchmarks",
        cache=cache,
        disable_metrics=True,
        disable_registration=True,
    )
    client.initialize_client(fetch_toggles=False)
    return client


def unleash_flag(_: str) -> Timed:
    client = _unleash()
    arguments = (FLAG, {"userId": USER})
    return _checked(blocking(client.is_enabled, *arguments), client.is_enabled(*arguments), True)


def unleash_variation(_: str) -> Timed:
    client = _unleash()
    arguments = (VARIATION, {"userId": USER})
    return _checked(
        blocking(client.get_variant, *arguments),
        client.get_variant(*arguments)["payload"]["value"],
        "treatment",
    )


# ---- OpenFeature ----


def _openfeature() -> Any:
    import openfeature.api as api
    from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

    flags: dict[str, InMemoryFlag[Any]] = {
        FLAG: InMemoryFlag("on", {"on": True, "off": False}),
        VARIATION: InMemoryFlag("treatment", {"control": "control", "treatment": "treatment"}),
    }
    api.set_provider(InMemoryProvider(flags))
    return api.get_client()


def openfeature_flag(_: str) -> Timed:
    client = _openfeature()
    read = client.get_boolean_value
    return _checked(blocking(read, FLAG, False), read(FLAG, False), True)


def openfeature_variation(_: str) -> Timed:
    client = _openfeature()
    read = client.get_string_value
    return _checked(blocking(read, VARIATION, "control"), read(VARIATION, "control"), "treatment")


# ---- Flagsmith ----


def _flagsmith() -> Any:
    import tempfile

    from flagsmith import Flagsmith
    from flagsmith.offline_handlers import LocalFileHandler

    def state(number: int, name: str, value: object) -> dict[str, object]:
        return {
            "feature": {"id": number, "name": name, "type": "STANDARD"},
            "feature_state_value": value,
            "enabled": True,
            "django_id": number,
            "featurestate_uuid": f"00000000-0000-4000-8000-{number:012}",
            "multivariate_feature_state_values": [],
        }

    environment = {
        "id": 1,
        "api_key": "key",
        "name": "benchmarks",
        "project": {
            "id": 1,
            "name": "benchmarks",
            "hide_disabled_flags": False,
            "organisation": {
                "id": 1,
                "name": "benchmarks",
                "feature_analytics": False,
                "stop_serving_flags": False,
                "persist_trait_data": True,
            },
            "segments": [],
        },
        "feature_states": [state(1, FLAG, None), state(2, VARIATION, "treatment")],
        "identity_overrides": [],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(environment, file)
        file.flush()
        handler = LocalFileHandler(file.name)
    return Flagsmith(offline_mode=True, offline_handler=handler)


def flagsmith_flag(_: str) -> Timed:
    client = _flagsmith()

    def read() -> object:
        return client.get_identity_flags(USER).is_feature_enabled(FLAG)

    return _checked(blocking(read), read(), True)


def flagsmith_variation(_: str) -> Timed:
    client = _flagsmith()

    def read() -> object:
        return client.get_identity_flags(USER).get_feature_value(VARIATION)

    return _checked(blocking(read), read(), "treatment")


def flagsmith_evaluated_flag(_: str) -> Timed:
    """The flags of a user whom a page evaluated before: no evaluation is left to do."""
    read = _flagsmith().get_identity_flags(USER).is_feature_enabled
    return _checked(blocking(read, FLAG), read(FLAG), True)


def flagsmith_evaluated_variation(_: str) -> Timed:
    read = _flagsmith().get_identity_flags(USER).get_feature_value
    return _checked(blocking(read, VARIATION), read(VARIATION), "treatment")


# ---- Eppo ----


def _eppo() -> Any:
    import eppo_client
    from eppo_client import AssignmentLogger, ClientConfig, Configuration

    def flag(key: str, kind: str, value: object) -> dict[str, object]:
        everybody = {"shards": [], "variationKey": "only"}
        return {
            "key": key,
            "enabled": True,
            "variationType": kind,
            "variations": {"only": {"key": "only", "value": value}},
            "allocations": [{"key": "all", "rules": [], "splits": [everybody], "doLog": False}],
            "totalShards": 10000,
        }

    flags = {
        "createdAt": datetime.now(timezone.utc).isoformat(),
        "format": "SERVER",
        "environment": {"name": "benchmarks"},
        "flags": {
            FLAG: flag(FLAG, "BOOLEAN", True),
            VARIATION: flag(VARIATION, "STRING", "treatment"),
        },
    }
    configuration = Configuration(flags_configuration=json.dumps(flags).encode())
    return eppo_client.init(
        ClientConfig(
            api_key="key",
            base_url="http://127.0.0.1:1",
            assignment_logger=AssignmentLogger(),
            initial_configuration=configuration,
            poll_interval_seconds=None,
        )
    )


def eppo_flag(_: str) -> Timed:
    client = _eppo()
    arguments: tuple[Any, ...] = (FLAG, USER, {}, False)
    read = client.get_boolean_assignment
    return _checked(blocking(read, *arguments), read(*arguments), True)


def eppo_variation(_: str) -> Timed:
    client = _eppo()
    arguments: tuple[Any, ...] = (VARIATION, USER, {}, "control")
    read = client.get_string_assignment
    return _checked(blocking(read, *arguments), read(*arguments), "treatment")
