"""Convolutional-KANs' weights, read into our layers, give what its formula gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.kanc_reference import CLASSES, FILE, GRID_SIZE, NETWORKS, SIDE, fixture
from trials.config import KancConfig
from trials.data.shape import DataShape
from trials.models import build_model
from trials.models.import_kanc import import_kanc
from trials.models.kanc import Kanc


def network(name: str, **more: Any) -> Kanc:
    def splines(grid_range: float, grid_centre: float) -> dict[str, Any]:
        return {"name": "bspline", "grid_size": GRID_SIZE, "grid_range": grid_range, "grid_centre": grid_centre}

    fields: dict[str, Any] = {"basis": splines(1.0, 0.0), "spline_scaler": True, "bias": False, "width": 1}
    if name == "mlp":
        fields |= {"hidden": 4, "hidden_activation": "identity"}
    else:
        fields |= {"classifier": "kan", "classifier_basis": splines(0.5, 0.5)}
    fields |= {"convolution": "plain"} if name == "conv-kan" else {}
    config = KancConfig.model_validate({"family": "kanc", **fields, **more})
    model = build_model(config, DataShape(1, (SIDE, SIDE), CLASSES))
    assert isinstance(model, Kanc)
    return model


def state_of(name: str) -> dict[str, Tensor]:
    prefix = f"{name}/state/"
    return {key.removeprefix(prefix): each for key, each in load_file(FILE).items() if key.startswith(prefix)}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_published_weights_give_the_published_formula(name: str) -> None:
    model = network(name)
    import_kanc(state_of(name), model)
    held = load_file(FILE)
    expected = held[f"{name}/logits"]
    assert expected.std() > 0.1
    torch.testing.assert_close(model(held["images"]), expected.float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.double()(held["images"].double()), expected, atol=1e-6, rtol=1e-6)


def test_the_reference_still_gives_what_is_in_the_file() -> None:
    made, held = fixture(), load_file(FILE)
    assert made.keys() == held.keys()
    for name, each in made.items():
        torch.testing.assert_close(each, held[name], atol=1e-12, rtol=1e-12)


def test_weights_of_another_network_are_refused_by_name() -> None:
    state = state_of("kkan")
    with pytest.raises(ValueError, match=r"conv1\.convs\.0\.conv\.grid has the shape \(9, 11\), \(9, 12\) is needed"):
        import_kanc(state, network("kkan", basis={"name": "bspline", "grid_size": 5, "grid_range": 1.0}))
    with pytest.raises(ValueError, match=r"conv1\.convs\.0\.conv\.grid goes from -1 to 1, not as"):
        import_kanc(state, network("kkan", basis={"name": "bspline", "grid_size": 4}))
    with pytest.raises(ValueError, match=r"the published head has the layers kan1, this network has 2"):
        import_kanc(state, network("mlp"))
    with pytest.raises(ValueError, match=r"conv2\.convs\.1\.conv\.base_weight is missing"):
        import_kanc({key: each for key, each in state.items() if "convs.1.conv.base" not in key}, network("kkan"))
    with pytest.raises(ValueError, match=r"bn1\.weight has no place"):
        import_kanc({**state, "bn1.weight": torch.ones(1)}, network("kkan"))
    with pytest.raises(ValueError, match="spline_scaler, without bias"):
        import_kanc(state, network("kkan", bias=True))
