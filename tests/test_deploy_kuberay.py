"""The file for KubeRay: what its parts call each other agrees, and the driver's script launches, then resumes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from kansearch.cli import app
from tests.helpers import ROOT

FILE = ROOT / "deploy/kuberay.yaml"

STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$SEEN"
[ "$(grep -c ray "$SEEN")" -gt 1 ]
"""


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """Documents by their kind."""
    return {document["kind"]: document for document in yaml.safe_load_all(FILE.read_text())}


def pods(parts: dict[str, Any]) -> dict[str, Any]:
    """Templates of the three kinds of pod."""
    spec = parts["RayCluster"]["spec"]
    (workers,) = spec["workerGroupSpecs"]
    head = spec["headGroupSpec"]
    return {"head": head["template"], "worker": workers["template"], "driver": parts["Job"]["spec"]["template"]}


def script(parts: dict[str, Any]) -> str:
    (container,) = pods(parts)["driver"]["spec"]["containers"]
    assert container["command"] == ["bash", "-c"]
    return str(container["args"][0])


def values(document: Any, key: str) -> Iterator[Any]:
    """All values of a key, however deep."""
    if isinstance(document, dict):
        yield from [document[key]] if key in document else []
        document = list(document.values())
    for each in document if isinstance(document, list) else ():
        yield from values(each, key)


def test_every_pod_sees_the_studies_asks_for_the_token_and_is_reached_by_the_others_alone(
    parts: dict[str, Any],
) -> None:
    assert parts.keys() == {"PersistentVolumeClaim", "NetworkPolicy", "RayCluster", "Job"}
    secret = {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "kansearch-token", "key": "token"}}}
    policy = parts["NetworkPolicy"]["spec"]
    images = set()
    for pod in pods(parts).values():
        (container,) = pod["spec"]["containers"]
        images.add(container["image"])
        assert secret in container["env"] and {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
        assert {"name": "studies", "mountPath": "/studies"} in container["volumeMounts"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            each["name"] for each in pod["spec"]["volumes"]
        }
        assert pod["metadata"]["labels"] == policy["podSelector"]["matchLabels"]
        assert list(values(pod, "claimName")) == [parts["PersistentVolumeClaim"]["metadata"]["name"]]
    assert policy["ingress"] == [{"from": [{"podSelector": policy["podSelector"]}]}]
    assert len(images) == 1, "one code everywhere"


def test_it_is_for_the_ray_that_is_tested_and_each_limit_of_gpus_is_a_request(parts: dict[str, Any]) -> None:
    assert parts["RayCluster"]["spec"]["rayVersion"] == version("ray")
    for resources in values(parts, "resources"):
        for name in resources.get("limits", {}):
            assert resources["requests"][name] == resources["limits"][name]


def test_the_drivers_shell_is_sound_and_its_options_exist(parts: dict[str, Any]) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, "--shell=bash", "-"], input=script(parts), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    words = FILE.read_text().split()
    for command in ("launch", "resume"):
        assert f"kansearch {command}" in script(parts)
        known = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
        options = {"launch": {"--study", "--address", "--time-budget"}, "resume": {"--address"}}[command]
        assert all(option in words and option in known for option in options)


def test_the_driver_waits_for_the_head_launches_once_and_then_resumes(parts: dict[str, Any], tmp_path: Path) -> None:
    cluster = parts["RayCluster"]["metadata"]["name"]
    for name in ("ray", "kansearch", "sleep"):
        (tmp_path / name).write_text(STAND_IN if name != "sleep" else "#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
    seen = tmp_path / "seen"
    env = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SEEN": str(seen),
        "KANSEARCH_HOME": str(tmp_path),
        "STUDY": "mine",
        "OPTIONS": "--time-budget 12h",
    }
    join = f"ray start --address={cluster}-head-svc:6379 --num-cpus=0 --num-gpus=0 --disable-usage-stats"
    address = f"--address {cluster}-head-svc:6379"
    subprocess.run(["bash", "-c", script(parts)], env=env, check=True)
    launch = f"kansearch launch /space/space.yaml --study mine {address} --time-budget 12h"
    assert seen.read_text().splitlines() == [join, join, launch], "the first try came before the head"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/study.json").touch()
    subprocess.run(["bash", "-c", script(parts)], env=env, check=True)
    assert seen.read_text().splitlines()[3:] == [join, f"kansearch resume mine {address}"]
