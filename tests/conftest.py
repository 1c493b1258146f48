"""What tests of the engine share."""

from pathlib import Path

import pytest


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """URL of a store on disk that outlives its App. Nothing pulls the plug, so it need not wait for the disk."""
    return f"sqlite:///{tmp_path / 'app.db'}?durability=relaxed"


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, sqlite: str) -> str:
    """URL of a fresh store; the test runs on each kind that needs no server."""
    return "memory:" if request.param == "memory" else sqlite
