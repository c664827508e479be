"""Pages in a real browser, Debian's chromium."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Run Chromium; skip the test where there is none."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--lang=en-US"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Browser:
    """One page open in Chromium, as a reader has it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path | str, *, width: int = 1280, dark: bool = False) -> None:
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", features=[scheme])
        self.driver.get(page if isinstance(page, str) else page.as_uri())

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def seen(self, css: str) -> list[WebElement]:
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return [element for element in found if element.is_displayed()]

    def texts(self, css: str) -> list[str]:
        """What these elements say, of those that are shown, in one question to the browser."""
        script = "return [...document.querySelectorAll(arguments[0])]"
        script += ".filter((one) => one.checkVisibility()).map((one) => one.innerText)"
        found: list[str] = self.driver.execute_script(script, css)
        return found

    def until(self, holds: Callable[[], bool]) -> None:
        WebDriverWait(self.driver, 10, poll_frequency=0.02).until(lambda _: holds())

    def complaints(self) -> list[str]:
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]

    def without_script(self, *, disabled: bool) -> None:
        self._devtools("Emulation.setScriptExecutionDisabled", value=disabled)

    def _devtools(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)
