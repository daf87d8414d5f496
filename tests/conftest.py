"""Fixtures of many modules. They import what they need on use."""

import gc
import importlib.util
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from console_world import World
    from upstream import Upstream

CHROMIUM = Path("/usr/bin/chromium")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exempt the million objects that live as long as the process from garbage collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module")
def up() -> Iterator["Upstream"]:
    """Provide an upstream that accepts the gateway's key."""
    from gateway_world import UPSTREAM_KEY
    from upstream import Upstream

    with Upstream(key=UPSTREAM_KEY) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Provide a PostgreSQL. What a module's tests leave in it is deleted."""
    import postgres_server

    found = postgres_server.of_this_process()
    if found is None:
        pytest.skip(postgres_server.WHY_NOT)
    yield found
    postgres_server.drop_databases(found)


@pytest.fixture
def url(server: str) -> str:
    """Return the URL of a new database for a fleet."""
    from fleet_world import url_of

    return url_of(server)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator["World"]:
    """Provide a console that tests only read."""
    from console_world import world

    made = world(tmp_path_factory.mktemp("still"))
    yield made
    made.close()


@pytest.fixture
def mine(tmp_path: Path) -> Iterator["World"]:
    """Provide a console that a test may change."""
    from console_world import world

    made = world(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Provide Debian's chromium."""
    if not CHROMIUM.exists() or importlib.util.find_spec("playwright") is None:
        pytest.skip("needs Debian's chromium and playwright")
    from playwright.sync_api import sync_playwright

    from screenshots import FLAGS

    with sync_playwright() as p:
        opened = p.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()
