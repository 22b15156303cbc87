"""A model hub on this machine, one for all tests; each test begins with an empty one."""

from __future__ import annotations

import pytest

from tests.weights.stand_in_hub import StandInHub


@pytest.fixture(scope="session")
def server():
    hub = StandInHub()
    yield hub
    hub.close()


@pytest.fixture
def stand_in(server, monkeypatch) -> StandInHub:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    for token in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(token, raising=False)
    server.models.clear()
    server.asked.clear()
    server.tokens.clear()
    return server
