"""An empty store."""

from __future__ import annotations

import pytest

from reno.store.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.prepare()
    return store
