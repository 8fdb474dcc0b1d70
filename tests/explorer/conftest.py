"""The small world, served; and a headless browser where there is one."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from luray.explorer.server import ExplorerServer
from luray.stages.view import find_product, make_server
from tests.explorer.small_world import write_cube, write_product
from tests.machine import patience

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome", "chrome")
"""Names of the browsers that are looked for, as Debian and others call them."""
FLAGS = (
    "--no-sandbox",
    # WebGL without a GPU
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    # nothing of its own over the network
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def write_world(folder: Path) -> None:
    folder.mkdir()
    write_product(folder / "product.zarr")
    write_cube(folder / "cube.zarr")


@pytest.fixture(scope="session")
def world(once: Callable[..., Path]) -> Path:
    """Folder of a finished product and its cube."""
    return once("small_world", write_world)


@contextmanager
def serving(place: Path | str) -> Iterator[ExplorerServer]:
    """`luray view` of a place, on a free port."""
    with make_server(find_product(str(place)), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture(scope="session")
def server(world: Path) -> Iterator[ExplorerServer]:
    with serving(world / "product.zarr") as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless browser that draws WebGL in software."""
    names = [os.environ.get("LURAY_TESTS_BROWSER", ""), *BROWSERS]
    found = next(filter(None, map(shutil.which, filter(None, names))), None)
    if found is None:
        pytest.skip("no Chromium: the explorer is not tested in a browser")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield running
        running.close()


class Explorer:
    """An open page, and everything that it asked for and complained about."""

    def __init__(
        self, browser: Any, *, size: tuple[int, int], scale: float, scheme: str, script: str
    ) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        width, height = size
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            color_scheme=scheme,
        )
        self.context.set_default_timeout(1000 * patience(60))
        if script:
            self.context.add_init_script(script)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning") and self.complaints.append(message.text)
            ),
        )

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.settle()

    def settle(self) -> None:
        """Wait until everything that was asked for is drawn."""
        self.page.wait_for_function("window.explorer?.settled")

    def state(self, script: str) -> Any:
        return self.page.evaluate(f"window.explorer.{script}")

    def set(self, change: str) -> None:
        self.page.evaluate(f"void window.explorer.set({change})")
        self.settle()

    def finish(self) -> None:
        """Close the page, which has neither complained nor left its origin."""
        origin = self.page.evaluate("location.origin")
        foreign = [url for url in self.requests if not url.startswith((origin, "blob:", "data:"))]
        self.context.close()
        assert foreign == []
        assert self.complaints == []


@contextmanager
def explorer_at(
    browser: Any,
    url: str,
    *,
    size: tuple[int, int] = (1200, 800),
    scale: float = 1,
    scheme: str = "light",
    script: str = "",
    settles: bool = True,
) -> Iterator[Explorer]:
    """The page at a URL; `script` runs in it before its own.

    A browser that zooms to 400 percent has `scale` 4, and a quarter of the size.
    """
    explorer = Explorer(browser, size=size, scale=scale, scheme=scheme, script=script)
    if settles:
        explorer.open(url)
    else:
        explorer.page.goto(url)
    yield explorer
    explorer.finish()
