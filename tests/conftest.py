"""Shared by every test: one thread for torch, Triton's interpreter without a GPU, and no setting of the user's own."""

from __future__ import annotations

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is first imported, which other libraries do too


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KANSEARCH_HOME", "KANSEARCH_DATA", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
