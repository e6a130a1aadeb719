"""Settings from environment variables, as tables."""

from __future__ import annotations

import pytest

from upgrade_client_lib._rules.environment import EnvironmentSettings, read_settings, required

HOST = {"UPGRADE_HOST_URL": "https://upgrade.example.org/api"}


@pytest.mark.parametrize(
    ("more", "token", "timeout"),
    [
        ({}, "", None),
        ({"UPGRADE_TOKEN": "", "UPGRADE_TIMEOUT": ""}, "", None),
        ({"UPGRADE_TOKEN": "secret"}, "secret", None),
        ({"UPGRADE_TIMEOUT": "2"}, "", 2.0),
        ({"UPGRADE_TIMEOUT": "0.5"}, "", 0.5),
        ({"UPGRADE_TIMEOUT": "86400"}, "", 86_400.0),
        ({"UPGRADE_CONTEXT": "my-app", "HOME": "elsewhere"}, "", None),
    ],
)
def test_variables_are_read(more: dict[str, str], token: str, timeout: float | None) -> None:
    expected = EnvironmentSettings("https://upgrade.example.org", token, timeout)
    assert read_settings({**HOST, **more}) == expected


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "the environment variable UPGRADE_HOST_URL must be set"),
        ({"UPGRADE_HOST_URL": ""}, "the environment variable UPGRADE_HOST_URL must be set"),
        ({"UPGRADE_HOST_URL": "upgrade.example.org"}, "UPGRADE_HOST_URL is wrong: .* https://"),
        ({"UPGRADE_HOST_URL": "https://\udc80"}, "UPGRADE_HOST_URL is not valid Unicode"),
        ({**HOST, "UPGRADE_TOKEN": "secret\n"}, "the environment variable UPGRADE_TOKEN holds"),
        ({**HOST, "UPGRADE_TOKEN": " secret"}, "the environment variable UPGRADE_TOKEN begins"),
        ({**HOST, "UPGRADE_TOKEN": "\u20ac"}, "the environment variable UPGRADE_TOKEN holds"),
        *(
            ({**HOST, "UPGRADE_TIMEOUT": wrong}, f"UPGRADE_TIMEOUT must .* not {wrong!r}$")
            for wrong in ["soon", "0", "-1", "nan", "inf", "86401", "1,5"]
        ),
    ],
)
def test_a_variable_that_is_wrong_or_missing_names_itself(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        read_settings(environment)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("environment", [{}, {"UPGRADE_CONTEXT": ""}])
def test_a_variable_may_be_required(environment: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="the environment variable UPGRADE_CONTEXT must be set"):
        required(environment, "UPGRADE_CONTEXT")


def test_the_address_of_a_store_is_read_and_not_shown() -> None:
    settings = read_settings({**HOST, "UPGRADE_STORE": "redis://:secret@redis"})
    assert settings.store_url == "redis://:secret@redis"
    assert "secret" not in repr(settings)


def test_settings_do_not_show_the_token() -> None:
    assert "secret" not in repr(read_settings({**HOST, "UPGRADE_TOKEN": "secret"}))
