"""Shared by every test: one thread, Triton's interpreter without a GPU, Ray on loopback, no setting of the user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # read when Ray is first imported: it keeps to 127.0.0.1

_STARTERS, _STARTING = ("environment", "local_cluster", "start", "succeed"), ("tests.helpers", "tests.nodes")
"""Names in a test file, and where they come from, by which it starts processes."""

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported, which other libraries do too


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KANSEARCH_HOME", "KANSEARCH_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests of a process; each opens its page anew."""
    from tests.browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that start processes first: they take longest, and no worker of xdist is to wait for one at the end."""
    items.sort(key=lambda item: not _starts_processes(item))


def _starts_processes(item: pytest.Item) -> bool:
    known = vars(item.module) if isinstance(item, pytest.Function) else {}
    return any(getattr(known.get(name), "__module__", None) in _STARTING for name in _STARTERS)
