"""docs/bases.md names every basis, and its search space is one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from kansearch.space import load_space
from trials.config import BasisConfig

PAGE = (Path(__file__).parent.parent / "docs" / "bases.md").read_text()


def test_every_basis_and_each_of_its_sizes_stands_in_the_table() -> None:
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    for model in get_args(get_args(BasisConfig)[0]):
        (name,) = get_args(model.model_fields["name"].annotation)
        assert f"`{name}`" in table
        for field in model.model_fields.keys() - {"name", "constant", "unit_variance", "a", "b"}:
            assert f"`{field}`" in table, (name, field)


def test_its_space_is_a_space(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    head = "study: bases\ndata: {dataset: digits}\n"
    tail = "optimizer: {name: adamw, lr: {float: [1e-3, 1e-2], log: true}}\nepochs: 2\n"
    path = tmp_path / "space.yaml"
    path.write_text(head + found[1] + tail)
    names = load_space(path).hyperparameters()
    assert {"model.basis", "model.basis.rational.groups", "model.basis.rbf.kernel", "model.basis.sine.grid_size"} <= {
        *names
    }
