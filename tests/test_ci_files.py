"""The files for GitHub and for an image: what they name is there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from tests.helpers import ROOT

FORMS = sorted((ROOT / ".github").rglob("*.yml"))


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_every_form_is_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_continuous_integration_runs_what_a_contributor_runs() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert [step["run"] for step in jobs["run"]["steps"] if "run" in step][-1] == "bash .ci/run"


def test_an_image_is_made_of_what_the_package_needs() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], *project["project"]["license-files"], "constraints.txt"}
    assert needed | {"pyproject.toml", project["project"]["readme"]} == kept
    assert [name for name in kept if not (ROOT / name).exists()] == []
