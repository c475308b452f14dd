"""A browser that looks at views, and what a person does there: look, point, type, touch."""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = Path(__file__).parents[3] / "build" / "view"
_PATIENCE = 30  # seconds
_ROOT = "document.querySelector('.edgelinear-view').shadowRoot"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
)


def start_browser() -> Chrome:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    profile = tempfile.mkdtemp(prefix="edgelinear-browser-")
    for flag in (*_FLAGS, f"--user-data-dir={profile}", "--window-size=1400,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = Service(shutil.which("chromedriver"), env={**os.environ, "SE_OFFLINE": "true"})
    return Chrome(options=options, service=service)


class Page:
    """A view in a browser, seen from outside."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, address: str, width: int = 1400, height: int = 1000, **media: str) -> "Page":
        """Open an address, with features of media as `prefers_color_scheme="dark"`."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items()]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.driver.get_log("browser")
        self.driver.get(address)
        self.wait(lambda: self.find("canvas"))
        return self

    def command(self, name: str, **options: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, options)

    def run(self, code: str, *given: Any) -> Any:
        """Return what a body of JavaScript gives, in which `root` is the view's."""
        return self.driver.execute_script(f"const root = {_ROOT}; {code}", *given)

    def ask(self, **ask: Any) -> dict:
        """Return what the page is answered, with its buffers as bytes."""
        found = self.driver.execute_async_script(
            """
            const [ask, done] = arguments;
            const text = ({ buffer, byteOffset, byteLength }) =>
              btoa(String.fromCharCode(...new Uint8Array(buffer, byteOffset, byteLength)));
            document.querySelector(".edgelinear-view").ask(ask).then(
              ({ answer, buffers }) => done({ answer, buffers: buffers.map(text) }),
              (error) => done({ error: error.message }),
            );
            """,
            ask,
        )
        found["buffers"] = [base64.b64decode(text) for text in found.get("buffers", [])]
        return found

    def wait(self, is_so: Callable[[], Any]) -> Any:
        """Return what a function gives, as soon as that is something."""
        ignored = (StaleElementReferenceException, JavascriptException)
        wait = WebDriverWait(self.driver, _PATIENCE, 0.05, ignored_exceptions=ignored)
        return wait.until(lambda _: is_so())

    def find(self, selector: str) -> WebElement | None:
        return next(iter(self.all(selector)), None)

    def all(self, selector: str) -> list[WebElement]:
        hosts = self.driver.find_elements(By.CSS_SELECTOR, ".edgelinear-view")
        return hosts[0].shadow_root.find_elements(By.CSS_SELECTOR, selector) if hosts else []

    def text(self, selector: str) -> str:
        found = self.find(selector)
        return "" if found is None else found.get_property("textContent")

    def button(self, label: str, inside: str = "") -> WebElement:
        found = [b for b in self.all(f"{inside} button") if b.get_property("textContent") == label]
        assert found, f"no button {label!r}"
        return found[0]

    @property
    def canvas(self) -> WebElement:
        return self.find(".matrix canvas")

    @property
    def drawn(self) -> dict[str, str]:
        """What the matrix tells of its last frame."""
        return self.run("return {...root.querySelector('.matrix canvas').dataset}")

    def settle(self) -> dict[str, str]:
        """Wait until all tiles that are seen are there, and return what the matrix tells."""

        def is_drawn() -> dict | None:
            drawn = self.drawn
            return drawn if drawn.get("awaited") == "0" and int(drawn["tiles"]) > 0 else None

        return self.wait(is_drawn)

    def place(self, view: Any, row: float, column: float) -> tuple[int, int]:
        """Return the pixel of the canvas at a place in rows and columns, as they are seen now."""
        x, y, width, height = map(float, self.drawn["plot"].split())
        meta = view._meta
        whole = [0, 0, max(meta["rows"], 1), max(meta["columns"], 1)]
        top, left, bottom, right = view._view.get("window") or whole
        return (
            round(x + (column - left) / (right - left) * width),
            round(y + (row - top) / (bottom - top) * height),
        )

    def pointer(self, x: float, y: float) -> ActionChains:
        """Return actions that begin with the pointer on a pixel of the canvas."""
        size = self.canvas.size
        actions = ActionChains(self.driver, duration=50)
        return actions.move_to_element_with_offset(
            self.canvas, round(x - size["width"] / 2), round(y - size["height"] / 2)
        )

    def corner(self) -> tuple[float, float]:
        """Bring the matrix into sight, and return where in the window it begins."""
        code = "const b = root.querySelector('.matrix canvas').getBoundingClientRect();"
        self.run("root.querySelector('.matrix canvas').scrollIntoView({block: 'center'})")
        return tuple(self.run(f"{code} return [b.x, b.y]"))

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Have fingers on some places of the window."""
        touches = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        self.command("Input.dispatchTouchEvent", type=kind, touchPoints=touches)

    def wheel(self, x: float, y: float, turn: float) -> None:
        """Turn the wheel on a place of the window: below 0 it zooms in."""
        turned = {"type": "mouseWheel", "deltaX": 0, "deltaY": turn}
        self.command("Input.dispatchMouseEvent", x=x, y=y, **turned)

    def press(self, *keys: str, holding: str | None = None) -> None:
        """Press keys one after the other, while another one is held."""
        actions = ActionChains(self.driver)
        if holding is not None:
            actions.key_down(holding)
        actions.send_keys(*keys)
        if holding is not None:
            actions.key_up(holding)
        actions.perform()

    def choose(self, label: str, text: str) -> None:
        """Find a node by a field, and take the first that fits."""
        (field,) = [
            field
            for field in self.all(".search")
            if field.find_element(By.CSS_SELECTOR, "label").text == label
        ]
        entry = field.find_element(By.CSS_SELECTOR, "input")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", entry)
        entry.click()
        # Not by `entry.send_keys`, which takes the focus away and gives it back each time.
        self.press("a", holding=Keys.CONTROL)
        self.press(text)

        def is_found() -> bool:
            options = field.find_elements(By.CSS_SELECTOR, '[role="option"]')
            return bool(options) and text.lower() in options[0].text.lower()

        self.wait(is_found)
        self.press(Keys.ENTER)

    def rows(self) -> list[list[str]]:
        """Return the texts of the table of partners."""
        return self.run(
            "return [...root.querySelectorAll('tbody tr')].map((row) => "
            "[...row.querySelectorAll('th, td')].slice(1).map((cell) => cell.textContent))"
        )

    def errors(self) -> list[str]:
        """Return what went wrong in the page, as the browser has it."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return said + (self.driver.execute_script("return window.errors ?? []") or [])

    def picture(self, name: str) -> Path:
        """Take a picture of the whole page, to be looked at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        width = self.driver.execute_script("return innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.command("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path = PICTURES / f"{name}.png"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for since the last call."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def tree(self) -> list[tuple[str, str]]:
        """Return the roles and names that a screen reader is told, in order."""
        self.command("Accessibility.enable")
        nodes = self.command("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored")
        ]
