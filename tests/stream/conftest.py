"""The embedded broker, started once."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from examples.servers.kafka import Broker, embedded_server
from examples.servers.process import ServerNotInstalled


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[Broker]:
    """A broker that every test has its own topics and groups in."""
    try:
        with embedded_server(tmp_path_factory.mktemp("broker")) as running:
            yield running
    except ServerNotInstalled as reason:
        pytest.skip(str(reason))
