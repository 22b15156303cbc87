"""The report's page in a real headless Chromium: make test-browser."""

from __future__ import annotations

import json
import shutil

import pytest

from scripts.synthesise_store import configurations
from tests.analysis.report.test_report import made, report

SETTINGS = [one for one in configurations(iterations=(5,), lrs=(0.01, 0.05)) if one.method["name"] == "reno"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """The page, opened; everything the browser logs is kept."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not chromium or not driver:
        pytest.fail("chromium and chromedriver are needed: on Debian, apt-get install chromium chromium-driver")
    root, out = made(tmp_path_factory.mktemp("made"), settings=SETTINGS)
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


def resize(browser, width):
    """A window whose page is this many pixels wide, as a phone's may be; headless Chromium's own stops at 500."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_sticks_out_at_any_width(browser, width, dark):
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    resize(browser, width)
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    outside = """return [...document.querySelectorAll('main *')].filter(one => {
        const box = one.getBoundingClientRect();
        const scrolls = one.closest('.scroll, .plate, pre, svg, thead'); // a phone hides the heads of tables
        return box.width && !scrolls && (box.left < -0.5 || box.right > innerWidth + 0.5);
    }).map(one => one.outerHTML.slice(0, 80))"""
    assert browser.execute_script(outside) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (paper != "rgb(255, 255, 255)") == dark
    resize(browser, 1280)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_every_picture_and_figure_is_drawn(browser):
    images = browser.find_elements("css selector", "main img")
    assert len(images) > 30
    for image in images:
        browser.execute_script("arguments[0].scrollIntoView()", image)
        if image.is_displayed():
            browser.execute_async_script("arguments[0].decode().then(arguments[1])", image)
            assert browser.execute_script("return arguments[0].naturalWidth > 0", image)
            assert image.size["width"] >= 40 and image.size["height"] >= 40


def test_the_settings_that_are_chosen_are_shown(browser):
    card = browser.find_element("css selector", ".card")
    sides = card.find_elements("css selector", "[data-metric]")

    def shown(name, value):
        choose = "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
        choose += "e.dispatchEvent(new Event('input', {bubbles: true}));"
        browser.execute_script(choose, name, value)
        return [
            tuple(side.get_attribute(f"data-{what}") for what in ("metric", "settings"))
            for side in sides
            if side.is_displayed()
        ]

    first = shown("settings", "")
    assert [metric for metric, _ in first] == ["clip", "blip"]
    names = ["5 it., lr 0.01", "5 it., lr 0.05"]
    assert shown("settings", "*") == [(metric, name) for metric in ("clip", "blip") for name in names]
    assert shown("metric", "blip") == [("blip", name) for name in names]
    for name in names:
        assert shown("settings", f"={name}") == [("blip", name)]
    shown("metric", "")
    assert shown("settings", "") == first


def test_the_slider_moves_the_image(browser):
    card = browser.find_element("css selector", ".card")
    browser.execute_script("arguments[0].scrollIntoView()", card)
    move = "const s = arguments[0].querySelector('input[type=range]'); s.value = arguments[1];"
    move += "s.dispatchEvent(new Event('input', {bubbles: true}));"
    side = card.find_element("css selector", "[data-metric][data-first]")
    seen = set()
    for at in range(6):
        browser.execute_script(move, card, at)
        seen.add(side.find_element("css selector", "img.picture").value_of_css_property("object-position"))
        assert f"at iteration {at}" in side.find_element("css selector", ".reading").text
    frames = json.loads(card.find_element("css selector", "script").get_attribute("textContent"))
    place = card.find_elements("css selector", "[data-metric]").index(side)
    assert len(seen) == frames[place]["count"]


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
            for sides in (card.find_elements("css selector", "[data-first]") for card in cards)
        ]
        assert [card.is_displayed() for card in cards] == fits
    browser.execute_script(choose, "")
