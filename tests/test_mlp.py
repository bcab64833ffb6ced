"""The family `mlp`: for every basis, as every control, with products, and exactly the parameters of its formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional as F

from tests.test_models import train_step
from trials.config import ModelConfig, TrialConfig
from trials.data.shape import DataShape
from trials.kan import BASES, KANLinear, PowerLinear, SplineActivation
from trials.models import build_model
from trials.models.mlp import Products
from trials.training import count_flops, count_parameters

MODEL: TypeAdapter[Any] = TypeAdapter(ModelConfig)
CONTROLS = ("none", "rational", "spline_activation", "power_mlp")
ROWS = DataShape(3, (), 2, regression=True)


def model_of(shape: DataShape = ROWS, seed: int = 0, **fields: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(MODEL.validate_python({"family": "mlp", **fields}), shape)


def trial(**fields: Any) -> TrialConfig:
    data = {"dataset": "formula", "formula": "x + y*z", "variables": [f"{name} in [0, 1]" for name in "xyz"]}
    return TrialConfig.model_validate({"data": data, "model": {"family": "mlp", **fields}})


@pytest.mark.parametrize("basis", [*sorted(BASES), *CONTROLS])
def test_every_basis_and_control_learns_all_its_parameters(basis: str) -> None:
    model = model_of(basis={"name": basis}, normalization="layer", multiply=2, width=5)
    assert model(torch.randn(7, 3)).shape == (7, 2)
    layers = [each for each in model.modules() if isinstance(each, (KANLinear, nn.Linear, PowerLinear))]
    assert bool([each for each in layers if isinstance(each, KANLinear)]) == (basis not in CONTROLS)
    train_step(model_of(DataShape(3, (), 5), basis={"name": basis}, normalization="batch"), torch.randn(10, 3))


def test_a_kan_has_the_parameters_of_its_formula() -> None:
    """Each layer out·in·(F + 1) + out, F features and the base branch; the counts are made without building it."""
    fields = {"depth": 2, "width": 5, "basis": {"name": "bspline", "grid_size": 4, "spline_order": 3}}
    features = 4 + 3 + 1
    expected = sum(out * of * features + out for of, out in ((3, 5), (5, 5), (5, 1)))
    assert count_parameters(trial(**fields)) == expected
    assert count_flops(trial(**fields)) == 2 * (3 * 5 + 5 * 5 + 5) * features
    assert count_parameters(trial(**fields, base_branch=False, bias=False)) == (3 * 5 + 5 * 5 + 5) * 7


def test_a_control_is_the_usual_network() -> None:
    model = model_of(widths=[4, 6], basis={"name": "none"}, base_activation="gelu")
    first, second, last = (module for module in model.modules() if isinstance(module, nn.Linear))
    x = torch.randn(5, 3)
    assert torch.equal(model(x), last(F.gelu(second(F.gelu(first(x))))))
    assert count_parameters(trial(widths=[4, 6], basis={"name": "none"})) == 3 * 4 + 4 + 4 * 6 + 6 + 6 + 1


@pytest.mark.parametrize("name", ["relu", "silu", "gelu"])
def test_controls_have_the_activations_that_are_asked_for(name: str) -> None:
    model = model_of(basis={"name": "none"}, base_activation=name, depth=1)
    found = [each for each in model.modules() if isinstance(each, (nn.ReLU, nn.SiLU, nn.GELU))]
    assert [type(each).__name__.lower() for each in found] == [name]


def test_splines_and_powers_are_controls_of_the_same_shape() -> None:
    splines = model_of(basis={"name": "spline_activation"}, widths=[4, 6])
    assert [each.channels for each in splines.modules() if isinstance(each, SplineActivation)] == [4, 6]
    powers = model_of(basis={"name": "power_mlp", "power": 2}, widths=[4, 6])
    assert len([each for each in powers.modules() if isinstance(each, PowerLinear)]) == 3


def test_products_are_those_of_neighbours() -> None:
    """Against a loop over nodes."""
    x = torch.randn(4, 7)
    y = Products(2)(x)
    oracle = [[*row[:3].tolist(), float(row[3] * row[4]), float(row[5] * row[6])] for row in x]
    assert torch.equal(y, torch.tensor(oracle))
    model = model_of(width=4, multiply=3, depth=1, basis={"name": "none"})
    first, last = (module for module in model.modules() if isinstance(module, nn.Linear))
    assert (first.out_features, last.in_features) == (1 + 2 * 3, 4)
    assert model_of(width=2, multiply=9, depth=1).layers[0][-1].count == 2, "at most all nodes"


def test_a_product_node_represents_a_product() -> None:
    model = model_of(DataShape(2, (), 1, regression=True), width=1, multiply=1, depth=1, basis={"name": "none"})
    first, last = (module for module in model.modules() if isinstance(module, nn.Linear))
    first.weight.data, last.weight.data = torch.eye(2), torch.ones(1, 1)
    first.bias.data, last.bias.data = torch.zeros(2), torch.zeros(1)
    x = torch.randn(6, 2)
    assert torch.allclose(model(x)[:, 0], F.silu(x[:, 0] * x[:, 1]))


def test_no_hidden_layer_is_a_sum_of_functions() -> None:
    """f(x, y) - f(x, 0) does not depend on x where the network is additive."""
    model = model_of(DataShape(2, (), 1), depth=0, basis={"name": "gram"}).double()
    x, y = torch.randn(9, dtype=torch.float64), torch.full((9,), 0.7, dtype=torch.float64)
    difference = model(torch.stack([x, y], 1)) - model(torch.stack([x, 0 * y], 1))
    assert torch.allclose(difference, difference[:1].expand_as(difference))


def test_norms_stand_before_every_layer_but_the_first() -> None:
    for name, kind in (("batch", nn.BatchNorm1d), ("layer", nn.GroupNorm)):
        model = model_of(normalization=name, depth=2)
        assert len([each for each in model.modules() if isinstance(each, kind)]) == 2
        assert not isinstance(model.layers[0][0], kind)


@pytest.mark.parametrize("name", ["batch", "instance", "layer", "group", "none"])
def test_one_node_is_enough_for_every_norm(name: str) -> None:
    model = model_of(normalization=name, width=1, depth=2, basis={"name": "gram"})
    x = torch.randn(9, 3)
    assert model(x).std(0).min() > 0, "it is not normalised to a constant"


def test_eval_depends_on_no_other_sample() -> None:
    model = model_of(normalization="batch", multiply=2, basis={"name": "rbf"})
    model(torch.randn(20, 3))
    x = torch.randn(6, 3)
    with torch.no_grad():
        whole = model.eval()(x)
        assert torch.allclose(whole, torch.cat([model(x[i : i + 1]) for i in range(6)]), atol=1e-6)


def test_images_are_flattened_and_other_families_refuse_rows() -> None:
    assert model_of(DataShape(2, (3, 3), 4))(torch.randn(5, 2, 3, 3)).shape == (5, 4)
    with pytest.raises(ValueError, match=r"model.family=vgg takes images or signals, and the data are rows"):
        build_model(MODEL.validate_python({"family": "vgg"}), ROWS)


def test_the_precision_is_that_of_the_weights() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    assert model_of()(x).dtype == torch.float32 and model_of().double()(x).dtype == torch.float64


def test_settings_of_convolutions_are_refused() -> None:
    for fields in ({"bottleneck": 2}, {"experts": 3}):
        with pytest.raises(ValueError, match="is for convolutions, and the family mlp has none"):
            MODEL.validate_python({"family": "mlp", **fields})
