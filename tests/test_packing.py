"""How many trials share a GPU, how evenly, and who is told."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kansearch.bench.problems import simulated_space
from kansearch.bench.simulator import MemoryStudy
from kansearch.cluster import gpu_sharing as deciding
from kansearch.cluster.cluster import Cluster, shares
from kansearch.cluster.gpu_sharing import packed
from kansearch.cluster.mps import Mps
from kansearch.cluster.packing import Packing, choose, evened
from kansearch.engine import plan
from kansearch.engine.ask_tell import AskTell
from kansearch.space import SearchSettings, parse_space
from kansearch.study.study import Study
from kansearch.study.usage import Usage
from tests.helpers import SMALL_SPACE
from trials.results import Sharing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

GAINING = {1: 1.0, 2: 1.9, 4: 3.0, 8: 3.9, 16: 4.0}
FILLING = {1: 1.0, 2: 1.05, 4: 1.06, 8: 1.05, 16: 1.02}


def measured(speed_ups: dict[int, float], trial_mib: float = 1000, waiting: int = 0) -> Sharing:
    steps = [0.0005, 0.004] if speed_ups else []
    return Sharing("NVIDIA X", 80_000, [trial_mib] * 19 + [1e6], speed_ups, steps, waiting)


@pytest.mark.parametrize(
    ("sharing", "cores", "expected"),
    [
        (measured(GAINING), 64, 8),
        (measured(GAINING), 6, 6),
        (measured(GAINING), 1, 1),
        (measured(GAINING, waiting=7), 64, 16),
        (measured(FILLING, waiting=7), 64, 1),
        (measured(GAINING, trial_mib=7_500), 64, 5),
        (measured(GAINING, trial_mib=60_000), 64, 1),
        (measured({1: 1.0, 2: 2.0, 4: 4.0, 8: 8.0, 16: 16.0}), 64, 16),
        (measured({1: 1.0, 2: 2.0}), 64, 2),
        (measured(FILLING), 64, 1),
        (measured({}), 12, 12),
    ],
    ids=[
        "speed-up",
        "cores",
        "one core",
        "L-BFGS",
        "L-BFGS, full",
        "memory",
        "room for one",
        "most",
        "few timed",
        "full GPU",
        "nothing timed",
    ],
)
def test_memory_cores_and_speed_up_bound_the_trials_on_a_gpu(sharing: Sharing, cores: int, expected: int) -> None:
    count, reason = choose(sharing, cores)
    assert count == expected
    assert f"its cores would hold {cores}" in reason
    assert ("nothing could be timed" in reason) == (not sharing.speed_ups)


def test_the_reason_names_the_figures() -> None:
    assert choose(measured(GAINING), 64)[1] == (
        "which together run 3.9 times as fast as one by one "
        "(steps of 0.5 to 4 ms on NVIDIA X; its cores would hold 64, its memory 27)"
    )


@pytest.mark.parametrize(
    ("share", "rooms", "at_once", "expected"),
    [
        (1 / 16, [(64, 2)], 8, 0.25),  # four on each, where Ray would put all eight on one
        (1 / 16, [(64, 2)], 5, 0.3333),
        (1 / 16, [(64, 2)], 32, 0.0625),
        (1 / 16, [(64, 2)], 2, 1.0),
        (0.1666, [(64, 1)], 6, 0.1666),
        (0.25, [(3, 1), (8, 1)], 7, 0.25),
        (1.0, [(8, 4)], 3, 1.0),
        (0.0, [(8, 0)], 8, 0.0),
    ],
)
def test_shares_are_as_large_and_even_as_can_be(
    share: float, rooms: list[tuple[float, float]], at_once: int, expected: float
) -> None:
    assert evened(share, rooms, 1, at_once) == expected


def cluster_of(cpus: float, gpus: float, **settings: Any) -> Cluster:
    node = {"Resources": {"CPU": cpus, "GPU": gpus, "accelerator_type:X": 1.0}}
    return shares(SearchSettings(**settings), [node], None)


def test_as_many_run_at_once_as_their_even_shares_hold() -> None:
    cluster = cluster_of(24, 2, gpus_per_trial=0.05, max_concurrent=10)
    assert (cluster.gpus_per_trial, cluster.max_concurrent) == (0.2, 10)
    assert cluster.share(2) == 0.4
    assert cluster_of(24, 2).trials_beside_a_gpu == 12
    assert cluster_of(24, 2).gpus_per_trial == 1, "until auto is decided"
    assert cluster_of(8, 0).gpus_per_trial == 0


@pytest.mark.parametrize("per_gpu", range(1, 17))
def test_so_many_trials_run_on_each_gpu_as_were_decided(per_gpu: int) -> None:
    cluster = cluster_of(64, 2).packed(Packing(per_gpu, "", []))
    assert cluster.max_concurrent == 2 * per_gpu
    assert round(cluster.gpus_per_trial * 10_000) * per_gpu <= 10_000, "in Ray's units"


class OneDaemon(Mps):
    """As if CUDA MPS were here, or were not, or did not start."""

    def __init__(self, folder: Path, here: bool = True, problem: str | None = None) -> None:
        super().__init__(folder)
        self._control, self._problem = ("control" if here else None), problem

    def start(self) -> None:
        if self._control is not None:
            self.problem, self.pipes = self._problem, (None if self._problem else "/tmp/pipes")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


def decided(study: Study, monkeypatch: pytest.MonkeyPatch, mps: Mps, cluster: Cluster | None = None) -> Cluster:
    monkeypatch.setattr(deciding, "_measured", lambda drawn, trial_mib, most, check: measured(GAINING))
    monkeypatch.setattr(deciding, "drawing", lambda space, device: iter(plan.draw(space, 4, device=device).drawn))
    return packed(study, cluster or cluster_of(16, 1), mps, lambda: False)


def test_auto_is_decided_once_for_the_same_hardware(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    mps = OneDaemon(study.folder)
    first = decided(study, monkeypatch, mps)
    assert (first.gpus_per_trial, first.max_concurrent, first.mps) == (0.125, 8, "/tmp/pipes")
    assert first.notes[0].startswith("gpus_per_trial auto: 8 trials on a GPU; which together run 3.9 times as fast")
    monkeypatch.setitem(GAINING, 16, 16.0)
    again = decided(Study.open(study.folder.parent, "small"), monkeypatch, mps)
    assert again.packing == first.packing
    other = decided(study, monkeypatch, mps, cluster_of(32, 2))
    assert (other.gpus_per_trial, other.max_concurrent) == (0.0625, 32)


def test_a_measurement_serves_every_study_of_the_space_on_such_a_gpu(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = [("NVIDIA X", 80_000)]
    monkeypatch.setattr(deciding, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(deciding, "are_small", lambda steps: False)
    first = decided(study, monkeypatch, OneDaemon(study.folder))
    monkeypatch.setitem(GAINING, 16, 16.0)

    def decided_again(folder: str, *overrides: str) -> Cluster:
        other = Study.create(tmp_path / folder, parse_space(SMALL_SPACE, "other.yaml", overrides))
        return decided(other, monkeypatch, OneDaemon(other.folder))

    again = decided_again("again")
    assert again.max_concurrent == first.max_concurrent == 8
    assert again.notes[0] == f"{first.notes[0]}, measured before"
    assert decided_again("epochs", "epochs=7", "search.trials=3").max_concurrent == 8
    assert decided_again("space", "data.batch_size=8").max_concurrent == 16
    gpus[:] = [("NVIDIA Y", 80_000)]
    assert decided_again("gpu").max_concurrent == 16


def test_trials_share_a_gpu_only_where_cuda_mps_runs(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for mps, why in (
        (OneDaemon(study.folder, here=False), "there is no nvidia-cuda-mps-control here"),
        (OneDaemon(study.folder, problem="exit code 1"), "CUDA MPS did not start (exit code 1)"),
    ):
        cluster = decided(study, monkeypatch, mps)
        assert (cluster.gpus_per_trial, cluster.max_concurrent, cluster.mps) == (1, 1, None)
        (note,) = cluster.notes
        assert note.startswith(f"gpus_per_trial auto: 1 trial on a GPU; {why}")


def test_a_number_of_the_users_is_kept_and_a_missing_daemon_told(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.add_overrides(["search.gpus_per_trial=0.5"])
    quarter = cluster_of(16, 1, gpus_per_trial=0.25)
    assert decided(study, monkeypatch, OneDaemon(study.folder), quarter).mps == "/tmp/pipes"
    alone = decided(study, monkeypatch, OneDaemon(study.folder, here=False), quarter)
    assert (alone.gpus_per_trial, alone.mps) == (0.25, None)
    assert "trials on one GPU would take turns" in alone.notes[0]
    assert study.packing is None


def test_what_could_not_be_measured_is_told_and_tried_again(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.add_overrides(["constraints.parameters=1"])
    monkeypatch.setattr(deciding, "_probe", nullcontext)
    cluster = packed(study, cluster_of(16, 1), OneDaemon(study.folder), lambda: False)
    assert cluster.gpus_per_trial == 1
    assert cluster.notes[0].endswith("sharing could not be measured: no drawn configuration can be trained")
    assert study.packing is None


def test_a_trial_with_twice_the_resources_waits_for_room_and_lets_no_other_pass() -> None:
    space = replace(simulated_space(True), search=SearchSettings(trials=20, scheduler="none", sampler="random"))
    search = AskTell(MemoryStudy(space), 3, lambda: False, lambda record: None)
    first, second, third = (search.ask() for _ in range(3))
    assert first and second and third and search.ask() is None
    search.out_of_memory(first.number, "OutOfMemoryError")
    assert search.ask() is None, "one place is free, and it needs two"
    search.fail(second.number, "no")
    again = search.ask()
    assert again is not None and (again.number, again.shares) == (first.number, 2)
    assert search.ask() is None
    search.fail(third.number, "no")
    assert search.ask() is not None


def test_usages_of_several_drivers_add_up(study: Study) -> None:
    assert (study.usage.busy, study.usage.idle, study.usage.line) == (None, {}, None)
    study.add_usage(Usage(100, 60, {"GPU 0": (50, 10)}))
    study.add_usage(Usage(100, 80, {"GPU 0": (50, 20), "GPU 1": (50, 5)}))
    usage = Study.open(study.folder.parent, "small").usage
    assert usage.busy == 0.7
    assert usage.idle == {"GPU 0": 0.3, "GPU 1": 0.1}
    assert usage.line == "workers training 70% of the time, GPU 0 idle 30%, GPU 1 idle 10%"
    assert Usage(10, 5).line == "workers training 50% of the time", "nothing of GPUs where there is none"
