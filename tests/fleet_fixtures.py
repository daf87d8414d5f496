"""A real PostgreSQL for the tests of a fleet. A module loads it by `pytest_plugins`."""

from collections.abc import Iterator

import pytest

import postgres_server
from fleet_world import url_of


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL for the tests of a module."""
    with postgres_server.running() as found:
        if found is None:
            pytest.skip(postgres_server.WHY_NOT)
        yield found


@pytest.fixture
def url(server: str) -> str:
    """A new database for a fleet."""
    return url_of(server)
