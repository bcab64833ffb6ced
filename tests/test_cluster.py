"""Searches on a real Ray cluster of two nodes, whose second node and whose driver are really killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ray._private import utils as ray_utils

from kansearch.cluster import join, probe
from kansearch.cluster.cluster import shares
from kansearch.cluster.launch import SearchOptions
from kansearch.cluster.session import describe_session
from kansearch.errors import InputError, KansearchError
from kansearch.space import SearchSettings
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, epochs_done, listening, run, start, stop, succeed, trials, wait_until
from tests.nodes import LocalCluster, local_cluster, path_with_shelf

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

LONG_SPACE = SMALL_SPACE.replace("epochs: 2", "epochs: 60").replace("limit: 200", "limit: 400")
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster() as started:
        yield started


@pytest.fixture
def address(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a cluster with two live nodes. Commands that a test runs have its token."""
    if len(cluster.alive) < 2:
        cluster.add()
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # Ray leaves 127.0.0.1 as it is
    return cluster.address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    (tmp_path / "long.yaml").write_text(LONG_SPACE)
    return tmp_path


def assert_nothing_lost_and_nothing_twice(folder: Path, count: int) -> None:
    records = Study.open(folder / "studies", "small").records()
    assert [record.number for record in records] == list(range(count))
    for record in records:
        assert record.state == "complete", record.reason
        assert [result["epoch"] for result in record.curve] == list(range(1, 61))


def refusal(folder: Path, *arguments: str) -> str:
    """The one line in which a launch is refused; it leaves no study behind that has trained anything."""
    done = run("launch", "small.yaml", *arguments, cwd=folder)
    assert done.returncode in (1, 2), done.stderr
    assert done.stderr.startswith("kansearch: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert epochs_done(folder / "studies", "small") == 0
    return done.stderr


@pytest.mark.slow
def test_a_search_runs_on_both_nodes_and_goes_on_when_one_of_them_dies(
    folder: Path, cluster: LocalCluster, address: str
) -> None:
    driver = start("launch", "long.yaml", "--trials", "4", "--address", address, cwd=folder)
    wait_until(lambda: all(node.workers() for node in cluster.alive) and epochs_done(folder / "studies", "small") >= 4)
    assert all(listening(node.pid) <= LOOPBACK for node in cluster.alive)
    cluster.alive[-1].kill()
    stdout, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    assert "2 at once on 2 CPUs of 2 nodes" in stdout
    assert "raylet" not in stdout
    assert stderr == ""
    assert_nothing_lost_and_nothing_twice(folder, 4)


@pytest.mark.slow
def test_a_node_that_joins_during_a_search_gets_trials(folder: Path, cluster: LocalCluster, address: str) -> None:
    before = len(cluster.alive)
    (folder / "longer.yaml").write_text(LONG_SPACE.replace("epochs: 60", "epochs: 600"))
    driver = start("launch", "longer.yaml", "--trials", "40", "--address", address, cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") >= 4)
    newcomer = cluster.add()
    wait_until(lambda: bool(newcomer.workers()) or driver.poll() is not None)
    stdout, stderr = stop(driver, signal.SIGTERM)
    assert driver.returncode == 143, stderr
    assert f"{before} at once on {before} CPUs of {before} nodes" in stdout
    assert f"{before + 1} at once on {before + 1} CPUs of {before + 1} nodes" in stdout


@pytest.mark.slow
def test_a_killed_driver_leaves_no_worker_and_another_goes_on_from_checkpoints_at_a_url(
    folder: Path, cluster: LocalCluster, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.helpers.PATH", path_with_shelf())
    shelf = folder / "shelf"
    place = ("--checkpoints", f"shelf://{shelf}")
    driver = start("launch", "long.yaml", "--trials", "3", "--address", address, *place, cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") >= 6)
    workers = {pid for node in cluster.alive for pid in node.workers()}
    assert workers
    stop(driver)
    done = epochs_done(folder / "studies", "small")
    kept = list(shelf.glob("small-*/*/checkpoint.pt"))
    assert kept
    again = start("resume", "small", "--address", address, cwd=folder)
    wait_until(lambda: epochs_done(folder / "studies", "small") > done)
    assert not workers & {pid for node in cluster.alive for pid in node.workers()}
    _, stderr = again.communicate(timeout=500)
    assert again.returncode == 0, stderr
    assert_nothing_lost_and_nothing_twice(folder, 3)
    left = {path.name for path in shelf.rglob("*") if path.is_file()}
    assert left == {"model.safetensors"}, "finished trials need no checkpoint, the front keeps its weights"
    assert not (folder / "studies/small/trials").exists()


def test_a_port_where_something_else_listens_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        line = refusal(folder, "--address", address)
    assert f"no Ray cluster answers at '{address}'" in line


def nodes_of(*resources: tuple[float, float]) -> list[dict[str, Any]]:
    return [{"Resources": {"CPU": float(cpus), "GPU": float(gpus)}} for cpus, gpus in resources]


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "fit"),
    [
        (nodes_of((3, 0), (3, 0)), 2, None, 2),  # and not 6 // 2
        (nodes_of((1, 0)), 0.1, None, 10),
        (nodes_of((8, 2), (8, 0)), 1, None, 2),
        (nodes_of((8, 2), (8, 0)), 1, 0, 16),
        (nodes_of((8, 2), (8, 1)), 1, 0.4, 6),  # two on a GPU, and not 7
        (nodes_of((8, 1), (8, 3)), 1, 2, 1),
    ],
)
def test_a_share_fits_on_one_node(nodes: list[dict[str, Any]], cpus: float, gpus: float | None, fit: int) -> None:
    cluster = shares(SearchSettings(cpus_per_trial=cpus, gpus_per_trial="auto" if gpus is None else gpus), nodes, None)
    assert cluster.max_concurrent == fit
    assert cluster.nodes == len(nodes)
    assert (
        shares(
            SearchSettings(cpus_per_trial=cpus, gpus_per_trial="auto" if gpus is None else gpus), nodes, 1
        ).max_concurrent
        == 1
    )


def test_a_session_tells_kinds_of_gpu_and_versions_but_not_the_machine() -> None:
    nodes = [{"Resources": {"CPU": 8.0, "GPU": 2.0, "accelerator_type:H100": 1.0, "node:10.0.0.1": 1.0}}]
    session = describe_session(shares(SearchSettings(), nodes, None))
    assert (session["cpus"], session["gpus"], session["accelerators"]) == (8.0, 2.0, ["H100"])
    assert session["max_concurrent"] == 2
    assert {"kansearch", "python", "torch", "ray"} <= session["versions"].keys()
    assert socket.gethostname() not in json.dumps(session)


def test_a_share_larger_than_any_node_is_told() -> None:
    with pytest.raises(KansearchError, match="needs 3 CPUs and 0 GPUs; its nodes have 2 and 0, 2 and 0"):
        shares(SearchSettings(cpus_per_trial=3), nodes_of((2, 0), (2, 0)), None)


@pytest.mark.parametrize("address", ["ray://127.0.0.1:10001", "here", ":6379", "127.0.0.1:http"])
def test_what_is_no_address_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be auto, or HOST:PORT of the cluster's head node"):
        SearchOptions(tmp_path, address=address)


@pytest.mark.parametrize("asked", [None, "disabled", "token"])
@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize("cluster_asks", [True, False])
def test_who_has_a_token_joins_only_a_cluster_that_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str | None, token: bool, cluster_asks: bool
) -> None:
    """`asked` is what the user set; a token that he shows at all is shown only to a cluster that asks for one."""
    shown: list[str] = []

    def answer(address: str) -> dict[str, str]:
        shown.append(os.environ["RAY_AUTH_MODE"])
        accepted = not cluster_asks or (shown[-1] == "token" and token)
        return {} if accepted else {"kind": "token", "text": "InvalidAuthToken"}

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", asked or "")  # noted, so that it is as before afterwards
    if asked is None:
        monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64 if token else "")
    monkeypatch.setattr(join, "_try", answer)
    with_token = asked == "token" or (asked is None and token)
    joins = (with_token and token) if cluster_asks else not with_token
    with nullcontext() if joins else pytest.raises(KansearchError) as refused:
        join.find_the_way_in("10.0.0.1:6379")
    if joins:
        assert os.environ["RAY_AUTH_MODE"] == shown[-1] == ("token" if cluster_asks else "disabled")
    else:
        reason = "does not accept our token" if cluster_asks else "asks for no token, so that anybody may have started"
        assert refused is not None and reason in str(refused.value)
    assert cluster_asks or "token" not in shown


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which `ray start` notes this machine's cluster."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    file = tmp_path / "ray/ray_current_cluster"
    file.parent.mkdir()
    file.write_text("10.0.0.1:6379\n")
    file.chmod(0o644)
    return file


def test_this_machines_cluster_is_the_one_that_its_user_noted(noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert join.local_address() == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert join.local_address() == "10.0.0.2:6379"


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_followed(noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(noted, 65534, -1)
    with pytest.raises(KansearchError, match=r"made by another user, .* give HOST:PORT of a cluster that you trust"):
        join.local_address()
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    os.chown(noted, 0, -1)
    assert join.local_address() == "10.0.0.1:6379", "root can do anything anyway"


def test_a_file_that_others_may_write_is_not_followed_nor_a_link_nor_a_pipe(noted: Path) -> None:
    noted.chmod(0o666)
    with pytest.raises(KansearchError, match="can be written by other users"):
        join.local_address()
    moved = noted.rename(noted.with_name("elsewhere"))
    noted.symlink_to(moved)
    with pytest.raises(KansearchError, match="cannot be read"):
        join.local_address()
    noted.unlink()
    with pytest.raises(KansearchError, match="no Ray cluster runs on this machine"):
        join.local_address()
    os.mkfifo(noted)
    with pytest.raises(KansearchError, match="could lead us to his own cluster"):
        join.local_address()


def test_a_file_that_holds_no_address_is_told(noted: Path) -> None:
    noted.write_text("ray://elsewhere")
    with pytest.raises(KansearchError, match="says 'ray://elsewhere', and must say HOST:PORT"):
        join.local_address()


def test_what_ray_says_of_another_version_is_understood() -> None:
    with pytest.raises(RuntimeError) as raised:
        ray_utils.check_version_info({"ray_version": "1.0.0", "python_version": "3.11.7"}, "here")
    assert probe.kind_of(str(raised.value)) == "version"


@pytest.mark.slow
def test_a_node_that_does_not_see_the_checkpoints_is_named_and_one_that_sees_nothing_else_works(
    folder: Path, cluster: LocalCluster, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {folder} && exec "$@"', "sh"]
    if subprocess.run([*hidden, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a folder of our own")
    node = cluster.add(before=hidden)
    (folder / "temporary").mkdir()
    monkeypatch.setenv(
        "TMPDIR", str(folder / "temporary")
    )  # of the driver: Ray Tune's own files, too, are hidden there
    line = refusal(folder, "--address", address)
    assert f"does not see the checkpoints' place {folder}/studies/small/trials: launch with --checkpoints PLACE" in line
    outside = folder.parent / f"{folder.name}-shared"
    succeed("launch", "small.yaml", "--study", "two", "--checkpoints", outside, "--address", address, cwd=folder)
    node.kill()
    assert {record["state"] for record in trials("two", folder)} == {"complete"}
