"""The recorded benchmarks that come with kansearch: each is whole, and the product's defaults win on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kansearch.bench.encoding import Encoder
from kansearch.bench.recorded import RecordedProblem
from kansearch.bench.run import bench, unable
from kansearch.bench.table import FOLDER, Recording, load_recording, recordings
from kansearch.space import SearchSettings, find_space, load_space
from tests.benchmarks.draws import Sequence
from tests.commandline import Command, kansearch_fixture

__all__ = ["kansearch_fixture"]

NAME = "fashion_mnist"
DATA = {"fashion_mnist": [], "digits": ["data.dataset=digits"], "mnist": ["data.dataset=mnist", "data.limit=10000"]}


@pytest.fixture(scope="module", params=recordings())
def recording(request: pytest.FixtureRequest) -> Recording:
    return load_recording(request.param)


def test_it_is_small_and_of_the_shipped_space(recording: Recording) -> None:
    assert (FOLDER / f"{recording.name}.parquet").stat().st_size < 15_000_000
    shipped = load_space(find_space("fashion_mnist_front"))
    assert recording.space.hyperparameters() == shipped.hyperparameters()
    assert recording.about["overrides"] == [*DATA[recording.name], f"epochs={recording.epochs}"]
    assert recording.about["runs"] == len(recording.runs)
    assert recording.about["configurations"] == len({run.index for run in recording.runs})
    assert [[run.index, run.seed] for run in recording.runs] == recording.about["done"]


def test_every_run_is_its_draw_and_has_the_sizes_that_are_counted(recording: Recording) -> None:
    encoder = Encoder(recording.space, recording.blocks)
    for run in recording.runs:
        sizes = encoder.sizes(run.config)
        assert (run.parameters, run.flops) == (sizes.parameters, sizes.flops)
        assert len(run.curves["accuracy"]) == recording.epochs or run.state == "fail"
        assert run.config["seed"] == run.seed
    sequence = Sequence(recording.space, recording.about["sequence_seed"])
    for run in recording.runs[::20]:
        draw = sequence.at(run.index)
        assert draw.hyperparameters == run.hyperparameters
        drawn = leaves(draw.config.model_copy(update={"seed": run.seed}).model_dump(mode="json"))
        recorded = leaves(run.config)
        differ = {name for name, value in recorded.items() if name not in drawn or drawn[name] != value}
        assert differ == {"model.affine"}, "which the earlier blocks left to the basis"


def leaves(document: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """{"model": {"width": 8}} -> {"model.width": 8}"""
    found: dict[str, Any] = {}
    for key, value in document.items():
        found |= leaves(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


@pytest.mark.parametrize("name", recordings())
def test_the_defaults_win_against_random_search_with_full_trials(name: str) -> None:
    """As `kansearch bench`, with fewer seeds."""
    problem = RecordedProblem(name)
    defaults = {"sampler": "front", "start": "portfolio", "scheduler": "halving", "reduction_factor": 3}
    assert SearchSettings(**defaults) == SearchSettings(), "these are the defaults"
    rows = bench(
        {"random": {}, "defaults": defaults},
        seeds=5, device_seconds=problem.device_seconds(0.0), conditional=True, limit=0.4, problems=[problem],
    )  # fmt: skip
    assert rows[1].wins >= 4 / 5
    assert rows[1].final.mean > rows[0].final.mean


def test_what_was_recorded_is_said() -> None:
    fashion, mnist = (RecordedProblem(name).about() for name in (NAME, "mnist"))
    assert "1,080 runs of 1,000 configurations of fashion-mnist-front, networks built of the blocks of an" in fashion
    assert "configurations of fashion-mnist-front with data.dataset=mnist, data.limit=10000, networks" in mnist


def test_what_cannot_search_branches_is_left_out() -> None:
    problem = RecordedProblem(NAME)
    assert unable(problem, {"sampler": "tpe"}, False) is None
    assert "has branches" in (unable(problem, {"sampler": "nsga2"}, False) or "")


def test_the_command_searches_it(kansearch: Command, tmp_path: Path) -> None:
    done = kansearch(
        "bench", "samplers", "--on", NAME, "--seeds", "2", "--device-seconds", "60", "--json", "--jobs", "1"
    )
    rows = json.loads(done.out)["rows"]
    assert {row["problem"] for row in rows} == {NAME} and {row["device_seconds"] for row in rows} == {60.0, 24.0}
    assert "nsga2, halving" not in {row["candidate"] for row in rows}
