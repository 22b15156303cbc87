"""The report's page in a real headless Chromium: make test-browser."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.analysis.report.test_report import made, report

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """The page, opened; everything the browser logs is kept."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        pytest.fail("chromium and chromedriver are needed: on Debian, apt-get install chromium chromium-driver")
    root, out = made(tmp_path_factory.mktemp("made"))
    page = report(root, out)[0]
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "disable-dev-shm-usage", f"user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    opened.get("about:blank")
    opened.get_log("performance")  # what the browser's own first page asked for
    opened.get(page.as_uri())
    yield opened
    opened.quit()


def test_it_loads_without_a_request_or_an_error(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked)
    assert sum(url.startswith("file:") for url in asked) == 1
    assert browser.get_log("browser") == []


def test_the_slider_moves_the_image(browser):
    card = browser.find_element("css selector", ".card")
    browser.execute_script("arguments[0].scrollIntoView()", card)
    move = "const s = arguments[0].querySelector('input[type=range]'); s.value = arguments[1];"
    move += "s.dispatchEvent(new Event('input', {bubbles: true}));"
    seen = set()
    for at in range(6):
        browser.execute_script(move, card, at)
        seen.add(
            card.find_element("css selector", "[data-metric] .picture").value_of_css_property("background-position")
        )
        assert f"at {at}" in card.find_element("css selector", ".reading").text
    moved = browser.execute_script("return arguments[0].data.sides[0].strip.count", card)
    assert len(seen) == moved


def test_the_arrow_keys_move_it_too(browser):
    from selenium.webdriver.common.keys import Keys

    card = browser.find_element("css selector", ".card")
    card.send_keys("b")
    before = card.find_element("css selector", ".slide output").text
    card.send_keys(Keys.ARROW_LEFT)
    assert card.find_element("css selector", ".slide output").text != before


def test_the_filter_filters(browser):
    choose = "const e = document.getElementById('outcome'); e.value = arguments[0];"
    choose += "e.dispatchEvent(new Event('input', {bubbles: true}));"
    cards = browser.find_elements("css selector", ".card")
    for outcome in browser.execute_script("return [...document.getElementById('outcome').options].map(o => o.value)"):
        browser.execute_script(choose, outcome)
        fits = [
            not outcome or any(outcome in side.get_attribute("data-outcomes").split("|") for side in sides)
            for sides in (card.find_elements("css selector", "[data-metric]") for card in cards)
        ]
        assert [card.is_displayed() for card in cards] == fits
    browser.execute_script(choose, "")


def test_a_phone_does_not_scroll_sideways(browser):
    browser.set_window_size(500, 800)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
