"""`kansearch plan`, and the constraint on peak memory: what is counted is what is built, what is over never runs."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from kansearch.bench.simulator import MemoryStudy
from kansearch.cluster.duration import Timed, concurrent_trials, estimate_duration, fit, spread_out
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.feasibility import Feasibility
from kansearch.engine.plan import draw
from kansearch.engine.quantiles import parts
from kansearch.errors import KansearchError
from kansearch.space import FloatRange, IntRange, SearchSettings, load_space, parse_space, random_config, shipped_spaces
from tests.commandline import Command, kansearch_fixture, one_line
from tests.helpers import SMALL_SPACE
from trials.config import TrialConfig
from trials.data import files
from trials.measure.memory import estimate_memory
from trials.measure.sizes import count_flops, count_parameters, measure
from trials.models import build_network

__all__ = ["kansearch_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
SPACES = {name: path for name, _, path in shipped_spaces()}
BOUND = 2.0  # MiB


def bounded(text: str = SMALL_SPACE) -> str:
    return text.replace("width: {int: [2, 6]}", "width: {int: [2, 40], log: true}").replace("limit: 200, ", "")


# -- the constraint --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bases", "bottleneck_width", "convolutional_kans", "segmentation", "signals"])
def test_what_is_counted_is_what_is_built(name: str) -> None:
    space, rng = load_space(SPACES[name]), random.Random(3)
    for _ in range(6):
        config = random_config(space, rng)
        sizes = measure(config)
        assert sizes["parameters"] == sum(p.numel() for p in build_network(config).parameters())
        assert sizes["parameters"] == count_parameters(config)
        assert sizes["flops"] == count_flops(config)
        assert sizes["peak_memory_mib"] == pytest.approx(estimate_memory(config), rel=0.01)


def test_flops_are_those_of_torchs_own_counter() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    space, rng = load_space(SPACES["bases"]), random.Random(4)
    for _ in range(8):
        config = random_config(space, rng)
        network = build_network(config).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 1, 8, 8))
        assert count_flops(config) == counter.get_total_flops()


def test_no_configuration_over_the_bound_of_memory_is_started() -> None:
    space = parse_space(f"{bounded()}constraints: {{peak_memory_mib: {BOUND}}}\n", "small.yaml")
    study = MemoryStudy(space)
    search = AskTell(study, 100, lambda: False, lambda record: None)
    started = []
    while (assignment := search.ask()) is not None:
        started.append(assignment.number)
    over = {r.number for r in study.records() if estimate_memory(r.config) > BOUND}
    assert over and len(started) == space.search.trials
    assert not over & set(started)
    refused = [record for record in study.records() if record.state == "infeasible"]
    assert {record.number for record in refused} == over
    assert all(str(record.reason).startswith("peak_memory_mib ") and not record.curve for record in refused)


def test_what_cannot_be_built_is_left_to_its_worker_to_say() -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "digits", "batch_size": 1}})
    with pytest.raises(ValueError, match="normalization batch needs"):
        measure(config)
    assert Feasibility({"parameters": 1.0}).excess(config) == {}


# -- drawing ---------------------------------------------------------------------------------------------------------


def test_a_plan_counts_every_configuration_and_every_option() -> None:
    space = parse_space(f"{bounded()}constraints: {{parameters: 800}}\n", "small.yaml")
    plan = draw(space, 60)
    assert plan.drawn == draw(space, 60).drawn, "seeded"
    assert 0 < plan.infeasible < 60
    assert plan.infeasible == sum(count_parameters(each.config) > 800 for each in plan.drawn if each.config)
    by_name: dict[str, list[int]] = {}
    for share in plan.shares():
        by_name.setdefault(share.hyperparameter, []).append(share.drawn)
    assert {name: sum(counts) for name, counts in by_name.items()} == {
        name: sum(name in each.hyperparameters for each in plan.drawn) for name in space.hyperparameters()
    }
    widths = [share for share in plan.shares() if share.hyperparameter == "model.width"]
    assert widths[0].infeasible / widths[0].drawn < widths[2].infeasible / widths[2].drawn
    spread = plan.spreads()["parameters"]
    counts = sorted(each.sizes["parameters"] for each in plan.drawn if each.sizes)
    assert (spread.least, spread.greatest) == (counts[0], counts[-1])
    assert spread.least <= spread.tenth <= spread.median <= spread.ninetieth <= spread.greatest


def test_what_cannot_be_built_is_counted_with_its_reason() -> None:
    space = parse_space(SMALL_SPACE.replace("batch_size: 32", "batch_size: {choice: [1, 32]}"), "small.yaml")
    plan = draw(space, 30)
    ((reason, count),) = plan.invalid().items()
    assert reason.startswith("ValueError: normalization batch needs batch_size >= 2")
    assert count == sum(each.hyperparameters["data.batch_size"] == 1 for each in plan.drawn) > 0
    assert len(plan.trainable) == 30 - count
    shares = [share for share in plan.shares() if share.hyperparameter == "data.batch_size"]
    assert [(share.option, share.invalid) for share in shares] == [("1", count), ("32", 0)]


@pytest.mark.parametrize(
    "distribution",
    [
        IntRange(2, 6), IntRange(4, 64, log=True), IntRange(3, 3), IntRange(1, 2), IntRange(0, 100, step=10),
        FloatRange(0.0, 1.0), FloatRange(1e-5, 1e-1, log=True), FloatRange(0.0, 1.0, step=0.25),
    ],
)  # fmt: skip
def test_every_value_lies_in_one_third(distribution: IntRange | FloatRange) -> None:
    low, high = distribution.low, distribution.high
    values: list[float] = (
        list(distribution.reachable())
        if isinstance(distribution, IntRange)
        else [low, high, *(random.Random(i).uniform(low, high) for i in range(100))]
    )
    for value in values:
        assert sum(holds(value) for _, holds in parts(distribution)) == 1


# -- time ------------------------------------------------------------------------------------------------------------


def test_the_fit_finds_what_made_the_times_and_says_how_far_off_it_is() -> None:
    exact = [Timed(flops, 0.002 + 3e-11 * flops) for flops in (1e6, 1e7, 1e8, 1e9, 1e10)]
    found = fit(exact)
    assert (found.a, found.b) == (pytest.approx(0.002), pytest.approx(3e-11))
    assert (found.fastest, found.slowest) == (pytest.approx(1), pytest.approx(1))
    noisy = fit([*exact, Timed(1e8, 2 * exact[2].seconds)])
    assert noisy.fastest < 1 < noisy.slowest
    falling = fit([Timed(1e6, 2.0), Timed(1e9, 1.0)])
    assert falling.a >= 0 and falling.b == 0, "more work never takes less time"


@pytest.mark.parametrize(
    ("settings", "cpus", "gpus", "expected"),
    [
        ({}, 8, 0, 8), ({"cpus_per_trial": 2.0}, 7, 0, 3), ({"max_concurrent": 2}, 8, 0, 2), ({}, 8, 2, 2),
        ({"gpus_per_trial": 0.25}, 8, 1, 4), ({"gpus_per_trial": 0.0}, 8, 1, 8), ({"trials": 3}, 8, 0, 3),
    ],
)  # fmt: skip
def test_as_many_trials_run_at_once_as_fit(settings: dict[str, object], cpus: int, gpus: int, expected: int) -> None:
    assert concurrent_trials(SearchSettings.model_validate(settings), cpus, gpus) == expected


def test_a_trial_that_fits_nowhere_is_told() -> None:
    with pytest.raises(KansearchError, match="needs 4 CPUs and 0 GPUs; there are 2 and 0"):
        concurrent_trials(SearchSettings(cpus_per_trial=4.0), 2, 0)


def test_the_duration_grows_with_the_trials_and_knows_its_bounds() -> None:
    plan = draw(parse_space(SMALL_SPACE, "small.yaml"), 10)
    assert len(spread_out(plan.trainable)) == 6
    duration = estimate_duration(plan)
    assert 0 < duration.least <= duration.seconds <= duration.most
    assert duration.seconds == pytest.approx(duration.trial_seconds * 6 / duration.concurrent)
    assert not (duration.synthetic or duration.upper_bound or duration.ends_by_budget)
    assert replace(duration, time_budget=duration.seconds / 2).ends_by_budget


def test_random_images_stand_for_missing_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(files, "_places", lambda dataset, data_dir: [tmp_path])
    space = parse_space(SMALL_SPACE.replace("digits", "kmnist"), "small.yaml")
    assert estimate_duration(draw(space, 2)).synthetic


# -- the command -----------------------------------------------------------------------------------------------------


def test_plan_prints_tables_or_one_document(
    kansearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(bounded())
    settings = ("--set", "constraints.parameters=800", "--set", "search.scheduler=halving")
    shown = kansearch("plan", "small.yaml", "-n", "30", *settings, "--set", "search.time_budget=1000h")
    assert (shown.code, shown.err) == (0, "")
    for part in ("30 configurations", "parameters <= 800", "model.basis.rbf.grid_size", "halving stops weak trials"):
        assert part in shown.out
    assert "the trials end first, before the time budget" in shown.out
    printed = kansearch("plan", "small.yaml", "-n", "30", "--json", *settings)
    assert (printed.code, printed.err) == (0, "")
    document = json.loads(printed.out)
    assert document["configurations"] == 30
    assert document["trainable"] + document["infeasible"] == 30
    assert set(document["sizes"]) == {"parameters", "flops", "peak_memory_mib"}
    assert document["time"]["seconds"] > 0 and document["time"]["upper_bound"]
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"], "nothing is left behind"


def test_a_plan_in_which_nothing_can_be_trained_says_so(
    kansearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL_SPACE)
    shown = kansearch("plan", "small.yaml", "-n", "3", "--set", "constraints.peak_memory_mib=0.001")
    assert (shown.code, shown.err) == (0, "")
    assert "100.0% break peak_memory_mib" in shown.out
    assert "no estimate of the time: no drawn configuration can be trained" in shown.out


def test_bad_input_is_one_message(kansearch: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL_SPACE.replace("rbf", "rbv"))
    assert "did you mean 'rbf'?" in one_line(kansearch("plan", path), 2)
    assert kansearch("plan", "quickstart", "-n", "0").code == 2
