"""What is remembered of a measurement between studies, and for which spaces, GPUs and versions."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kansearch.cluster.remembered import Remembered, key_of
from kansearch.space import parse_space
from tests.helpers import SMALL_SPACE
from trials.results import Sharing

GPUS = [("NVIDIA X", 80_000)]


def sharing(number: int = 0) -> Sharing:
    speed_ups = {1: 1.0, 2: 1.9 + number, 16: 4.0}
    return Sharing("NVIDIA X", 80_000.5, [1000.0, 2000.0], speed_ups, [0.0005, 0.004], number)


def key(*overrides: str, drawn: int = 8, most: int = 16, gpus: list[tuple[str, int]] = GPUS) -> str:
    return key_of(parse_space(SMALL_SPACE, "small.yaml", overrides), drawn, most, gpus)


def test_what_was_put_is_got_again(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "deep" / "sharing.json")
    assert remembered.get("a") is None
    remembered.put("a", sharing(1))
    remembered.put("b", sharing(2))
    remembered.put("a", sharing(3))
    again = Remembered(remembered.path)
    assert (again.get("a"), again.get("b"), again.get("c")) == (sharing(3), sharing(2), None)
    assert remembered.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in remembered.path.parent.iterdir()] == ["sharing.json"]


def test_the_oldest_is_forgotten_first(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "sharing.json")
    for number in range(205):
        remembered.put(str(number), sharing())
    assert remembered.get("4") is None
    assert remembered.get("5") == remembered.get("204") == sharing()


def test_the_file_lies_in_the_users_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Remembered().path == tmp_path / "kansearch" / "sharing.json"
    for none in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", none)
        assert Remembered().path == Path.home() / ".cache" / "kansearch" / "sharing.json"


def test_a_damaged_file_is_ignored_told_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    remembered = Remembered(tmp_path / "sharing.json")
    remembered.put("a", sharing())
    whole = remembered.path.read_bytes()
    rng = random.Random(0)
    damaged = [whole[: rng.randrange(len(whole))] for _ in range(20)]
    damaged += [b"\xff\xfe", b"[]", b'{"a": 3}', b'{"a": {"gpu": "NVIDIA X"}}', whole.replace(b"[1000.0", b'["many"')]
    for content in damaged:
        remembered.path.write_bytes(content)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert remembered.get("a") is None
        assert len(caplog.messages) == 1 and str(remembered.path) in caplog.text
    remembered.put("b", sharing())
    assert remembered.get("b") == sharing()


def test_where_nothing_can_be_written_the_search_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    remembered = Remembered(tmp_path / "file" / "sharing.json")
    with caplog.at_level(logging.WARNING):
        remembered.put("a", sharing())
        assert remembered.get("a") is None
    assert "is not remembered" in caplog.text


def test_those_who_write_at_the_same_time_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "sharing.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: Remembered(path).put(str(number), sharing(number)), range(64)))
    content = json.loads(path.read_bytes())
    assert content and all(Remembered(path).get(name) == sharing(int(name)) for name in content)
    assert os.listdir(tmp_path) == ["sharing.json"]


def test_the_key_tells_what_changes_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key() == key() == key("study=other", "epochs=9", "search.trials=3", "search.time_budget=1h")
    keys = [
        key(),
        key("data.batch_size=8"),
        key("model.width=7"),
        key("constraints.parameters=12345"),
        key("search.cpus_per_trial=2"),
        key(gpus=[("NVIDIA X", 40_000)]),
        key(gpus=[("NVIDIA Y", 80_000)]),
        key(gpus=2 * GPUS),
        key(most=8),
        key(drawn=9),
    ]
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1" if name == "torch" else version(name))
    keys.append(key())
    assert len(set(keys)) == len(keys)
