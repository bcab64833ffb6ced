"""Nothing is lost, run twice or left behind, however often the driver and its workers are killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.search import Figures, Place, chaos
from tests.postgres import PostgresServer, postgres_fixture

__all__ = ["postgres_fixture"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)

KILLS = "KANSEARCH_CHAOS_KILLS"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder with a short path, which Ray needs for its sockets."""
    path = Path(tempfile.mkdtemp(prefix="kc-"))
    yield path
    shutil.rmtree(path)


def assert_nothing_happened(figures: Figures, kills: int) -> None:
    assert figures.faults == {}, figures
    assert figures.driver_kills == kills
    assert figures.complete >= 2, "the two trials of the last resume at least"


@pytest.mark.slow
def test_a_few_kills_lose_nothing(folder: Path) -> None:
    kills = int(os.environ.get(KILLS, "3"))
    assert_nothing_happened(chaos(Place(folder), kills, seed=0), kills)


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_a_hundred_kills_lose_nothing(folder: Path, storage: str, request: pytest.FixtureRequest) -> None:
    kills = int(os.environ.get(KILLS, "100"))
    place = Place(folder)
    if storage == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        place = Place(folder, postgres.database("chaos-study"), postgres.database("chaos-mlflow"))
    assert_nothing_happened(chaos(place, kills, seed=1), kills)
