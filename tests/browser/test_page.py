"""A browser opens the page of a served LocalUpgrade, and uses it.

`python -m nox -s browser` runs this with Chromium and its driver, as Debian packages them;
`python -m nox -s browser -- --screenshot` also renews the picture in the documentation.
"""

# The driver's types are incomplete:
# pyright: basic

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support_pictures import (
    PICTURES,
    SCREENSHOT,
    SHOWN_USER,
    page_of,
    record,
    school_at_work,
)
from upgrade_client_lib.testing import LocalUpgrade

pytest.importorskip("selenium", reason="nox -s browser has selenium")

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from tests.support_server import PATIENCE

BROWSER = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
IS_MISSING = BROWSER is None or DRIVER is None

if IS_MISSING and os.environ.get("UPGRADE_REQUIRE_BROWSER"):
    raise RuntimeError("chromium and chromedriver are required here, and missing")
pytestmark = pytest.mark.skipif(IS_MISSING, reason="there is no chromium and chromedriver")


@pytest.fixture(scope="module", params=["with JavaScript", "without JavaScript"])
def chrome(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=1000,2450",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if request.param == "without JavaScript":
        blocked = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", blocked)
    driver = Chrome(options, ChromeService(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def local() -> LocalUpgrade:
    return school_at_work()


@pytest.fixture
def url(local: LocalUpgrade, chrome: Chrome) -> Iterator[str]:
    with local.serve() as address:
        yield address
        complaints = [entry["message"] for entry in chrome.get_log("browser")]
        assert not [one for one in complaints if "favicon" not in one]


def shows(chrome: Chrome, name: str, text: str) -> bool:
    """Wait until a section of the page shows a text."""
    waiting = WebDriverWait(chrome, PATIENCE, ignored_exceptions=[WebDriverException])
    return waiting.until(expected.text_to_be_present_in_element((By.ID, name), text))


def test_the_page_shows_the_school_with_bars(chrome: Chrome, url: str) -> None:
    chrome.get(url)
    assert chrome.find_element(By.TAG_NAME, "h1").text == "LocalUpgrade 6.5.0"
    assert shows(chrome, "experiments", "a warmer welcome")
    bars = chrome.find_elements(By.CSS_SELECTOR, "svg.bar rect")
    widths = {bar.size["width"] for bar in bars}
    assert len(widths) > 2  # of weights and of enrolments, some of them zero
    assert min(widths) == 0
    assert shows(chrome, "requests", "assign")


def test_a_user_is_looked_up_by_the_form(chrome: Chrome, url: str) -> None:
    chrome.get(url)
    chrome.find_element(By.NAME, "user").send_keys("student-6 <b>")
    chrome.find_element(By.XPATH, "//button[text()='Look up']").click()
    assert shows(chrome, "users", "student-6 <b>: no groups")
    assert shows(chrome, "users", "the user was not initialised")


def test_the_details_of_a_user_open(chrome: Chrome, url: str) -> None:
    chrome.get(url)
    first = chrome.find_element(By.TAG_NAME, "details")
    assert not first.find_element(By.TAG_NAME, "table").is_displayed()
    first.find_element(By.TAG_NAME, "summary").click()
    assert first.find_element(By.TAG_NAME, "table").is_displayed()


def test_a_fault_is_switched_on_and_off(chrome: Chrome, local: LocalUpgrade, url: str) -> None:
    chrome.get(url)
    faults = chrome.find_element(By.ID, "faults")
    Select(faults.find_element(By.NAME, "kind")).select_by_visible_text("never answer")
    Select(faults.find_element(By.NAME, "endpoint")).select_by_visible_text("mark")
    faults.find_element(By.XPATH, ".//button[text()='Switch on']").click()
    assert shows(chrome, "faults", "never answers")
    assert chrome.current_url == f"{url}/#faults"
    chrome.find_element(By.XPATH, "//button[text()='Switch all off']").click()
    assert shows(chrome, "faults", "None is switched on.")


def test_a_page_elsewhere_switches_nothing(chrome: Chrome, url: str, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.html"
    other.write_text(f'<form method="post" action="{url}/faults/off"><button>Go</button></form>')
    chrome.get(other.as_uri())
    chrome.find_element(By.TAG_NAME, "button").click()
    waiting = WebDriverWait(chrome, PATIENCE)
    assert waiting.until(lambda _: "only this page itself may" in chrome.page_source)
    chrome.get_log("browser")  # where the browser notes the refusal
    chrome.get(url)
    assert shows(chrome, "faults", "answers 0.5 s late")


def test_the_page_can_be_photographed(
    chrome: Chrome, local: LocalUpgrade, url: str, tmp_path: Path
) -> None:
    chrome.get(f"{url}/?user={SHOWN_USER}")
    renews = os.environ.get("UPGRADE_SCREENSHOT")
    picture = (PICTURES if renews else tmp_path) / SCREENSHOT
    assert chrome.save_screenshot(str(picture))
    assert picture.stat().st_size > 10_000
    if renews:
        record(SCREENSHOT, page_of(local))
