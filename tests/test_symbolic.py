"""Formulas from networks: their slopes, their constants, and the whole way from a folder with a model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kansearch.errors import InputError, KansearchError
from kansearch.models.symbolic import find_formulas
from tests.support.commands import answer
from trials.config import TrialConfig
from trials.data.splits import load_training
from trials.models import build_network
from trials.models.mlp import MLP
from trials.saved.compress.within import mlp_layers
from trials.saved.symbolic.constants import Exact, canonical, rounded
from trials.saved.symbolic.edges import fit_edge
from trials.saved.symbolic.extract import DrawnEdge, DrawnNode
from trials.saved.symbolic.formula import Edge, Formula, Sum, fit, relative_error
from trials.saved.symbolic.library import LIBRARY, Array
from trials.saved.symbolic.powers import with_simple_powers
from trials.saved.symbolic.search import Samples, search
from trials.saved.symbolic.written import complexity_of, expression_of, symbols_of
from trials.saved.trained import describe_model
from trials.saved.weights import save_weights
from trials.training.edges import planes_at

INSIDE = {"all": (-1.5, 2.0), "positive": (0.2, 3.0), "unit": (-0.9, 0.9)}


def points(count: int = 300, low: float = 1.0, high: float = 3.0, columns: int = 2) -> Array:
    return np.random.default_rng(0).uniform(low, high, (count, columns))


@pytest.mark.parametrize("name", LIBRARY)
def test_a_function_is_what_sympy_says_and_so_is_its_slope(name: str) -> None:
    import sympy

    function, u = LIBRARY[name], np.linspace(*INSIDE[LIBRARY[name].domain], 31)
    symbol = sympy.Symbol("u", positive=True)
    expression = function.symbol(symbol)
    for own, other in ((function.value, expression), (function.slope, sympy.diff(expression, symbol))):
        wanted = np.broadcast_to(sympy.lambdify(symbol, other, "numpy")(u), u.shape)
        np.testing.assert_allclose(own(u), wanted, rtol=1e-10, atol=1e-12)


def products() -> Formula:
    """A hidden sum, a hidden product, and a function of each."""
    first = Sum((Edge(0, "log", 1.2, 0.3, 2.0), Edge(1, "x^2", 0.7, -0.2, 0.5)), 0.4)
    factors = (Sum((Edge(0, "sin", 1.5, 0.3, 1.1),), 2.0), Sum((Edge(1, "sqrt", 2.0, 0.1, -0.8),), -0.3))
    last = Sum((Edge(0, "exp", 0.3, 0.2, 1.5), Edge(1, "tanh", -0.4, 0.1, 2.0)), -1.0)
    return Formula((((first,), factors), ((last,),)))


def test_slopes_are_those_of_small_steps() -> None:
    formula, x = products(), points(20)
    values, slopes = formula.slopes(x)
    np.testing.assert_array_equal(values, formula(x))
    for index, constant in enumerate(formula.constants):
        step = 1e-6 * max(abs(constant), 1)
        ends = []
        for sign in (1, -1):
            constants = formula.constants
            constants[index] += sign * step
            ends.append(formula.with_constants(constants)(x))
        np.testing.assert_allclose(slopes[:, index], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)


def test_canonical_constants_change_nothing_and_each_says_something() -> None:
    formula, x = products(), points()
    plain, free = canonical(formula)
    np.testing.assert_allclose(plain(x), formula(x), rtol=1e-10)
    slopes = plain.slopes(x)[1][:, free]
    scaled = slopes / np.linalg.norm(slopes, axis=0)
    assert np.linalg.matrix_rank(scaled, tol=1e-7) == free.sum() < len(free)
    assert np.linalg.matrix_rank(formula.slopes(x)[1], tol=1e-7) == free.sum(), (
        "nothing that a constant could say is lost"
    )


def test_edges_that_never_change_are_numbers() -> None:
    """Fits may end at a scale, or a factor, of exactly 0."""
    edges = (Edge(0, "log", 0.0, 2.0, 3.0), Edge(1, "sqrt", 0.0, 4.0, 1.0), Edge(0, "exp", 1.0, 0.0, 0.0))
    formula = Formula(
        (((Sum(edges, 1.0),),), ((Sum((Edge(0, "x^2", 0.0, 2.0, 1.0), Edge(0, "x", 1.0, 0.0, 0.0)), 0.0),),))
    )
    plain, free = canonical(formula)
    x = points()
    np.testing.assert_allclose(plain(x), formula(x))
    found, exact = rounded(plain, x, np.full(len(x), 4.0), free)
    assert expression_of(found, exact, symbols_of(["a", "b"], x)) == 4


def test_constants_are_rounded_to_what_they_are() -> None:
    """1/(4π) · x² / √(y + 3/2), from constants that are off by a little."""
    inner = Sum((Edge(0, "log", 1.0, 0.01, 2.02), Edge(1, "log", 1.0, 1.48, -0.51)), 0.0)
    formula = Formula((((inner,),), ((Sum((Edge(0, "exp", 1.0, 0.0, 0.08),), 0.001),),)))
    x = points()
    y = x[:, 0] ** 2 / np.sqrt(x[:, 1] + 1.5) / (4 * math.pi)
    import sympy

    for noise in (0.0, 0.01):
        noisy = y + noise * y.std() * np.random.default_rng(1).standard_normal(len(y))
        plain, free = canonical(formula)
        found, exact = rounded(plain, x, noisy, free)
        a, b = symbols_of(["a", "b"], x)
        expression = expression_of(found, exact, [a, b])
        truth = a**2 / (4 * sympy.pi * sympy.sqrt(b + sympy.Rational(3, 2)))
        assert sympy.simplify(expression / truth) == 1, (noise, expression)
        assert complexity_of(expression) < 20


def test_a_number_that_is_not_simple_stays() -> None:
    formula = Formula((((Sum((Edge(0, "x", 1.0, 0.0, 1.0),), 0.0),),),))
    x = points(columns=1)
    found, exact = rounded(*canonical(formula)[:1], x, 1.2345678 * x[:, 0] + 2, canonical(formula)[1])
    assert found.layers[0][0][0].edges[0].c == pytest.approx(1.2345678)
    assert [*exact.values()] == [Exact(Fraction(2))]


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("log", lambda x: 2 * np.log(x - 0.5) + 1),
        ("1/x^2", lambda x: -3 / (x + 1) ** 2),
        ("sin", lambda x: 0.3 * np.sin(5 * x + 1) - 2),
        ("gaussian", lambda x: np.exp(-x * x / 2)),
        ("x^3", lambda x: (x - 2) ** 3),
        ("arcsin", lambda x: np.arcsin(x / 3.1)),
        ("exp", lambda x: 4 * np.exp(-1.3 * x)),
        ("x", lambda x: 5 - 2 * x),
    ],
)
def test_an_edge_finds_its_function_from_afar(name: str, truth: Callable[[Array], Array]) -> None:
    x = points(columns=1)[:, 0]
    best = fit_edge(x, truth(x))[0]
    assert best.name == name and best.left < 1e-10
    np.testing.assert_allclose(
        best.c * LIBRARY[name].value(best.a * x + best.b) + best.d, truth(x), rtol=1e-4, atol=1e-5
    )


def samples_of(truth: Callable[..., Array], columns: int = 2) -> Samples:
    x = points(400, columns=columns)
    y = truth(*x.T)
    return Samples(x[:300], y[:300], x[300:], y[300:])


def test_edges_that_are_drawn_a_little_wrong_make_the_right_formula() -> None:
    """exp(log x + 2 log y) from edges with errors of 1 %."""
    samples = samples_of(lambda x, y: x * y**2)
    a, b = samples.x.T
    wave = 0.01 * np.sin(7 * a)
    inner = np.log(a) + wave + 2 * np.log(b)
    drawn = [
        [DrawnNode((((DrawnEdge(0, a, np.log(a) + wave), DrawnEdge(1, b, 2 * np.log(b) - 0.5 * wave)), 0.0),))],
        [DrawnNode((((DrawnEdge(0, inner, np.exp(inner)),), 0.0),))],
    ]
    found = search(drawn, samples, 30)
    assert found[-1].error < 1e-8
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_a_product_whose_factors_are_powers_gets_simple_factors() -> None:
    """(x^0.7 · y^1.4)^(1/0.7) is x · y²: a factor of the product is made a simple function again."""
    samples = samples_of(lambda x, y: np.sqrt(1 + x * y**2))
    a, b = samples.x.T
    p = (a * b**2) ** 0.7
    drawn = [
        [DrawnNode((((DrawnEdge(0, a, a**0.7),), 0.0), ((DrawnEdge(1, b, b**1.4 - 0.2),), 0.2)))],
        [DrawnNode((((DrawnEdge(0, p, np.sqrt(1 + p ** (1 / 0.7))),), 0.0),))],
    ]
    plain = with_simple_powers(drawn)
    assert search(plain, samples, 30)[-1].error < 1e-8
    flat = plain[0][0].sums[0][0][0]
    assert fit_edge(flat.x, flat.y, 1)[0].left < 1e-6


def test_a_formula_without_values_is_infinitely_wrong() -> None:
    formula = Formula((((Sum((Edge(0, "log", -1.0, 0.0, 1.0),), 0.0),),),))
    x = points(columns=1)
    assert relative_error(formula, x, x[:, 0], 1.0) == math.inf
    assert fit(formula, x, x[:, 0]).constants.shape == formula.constants.shape


# -- from a folder ---------------------------------------------------------------------------------------------------


def model_of(folder: Path, truth: str, edges: list[list[list[Callable[[Array], Array] | None]]], **model: Any) -> Path:
    """A folder with a model whose edges are least-squares splines of given functions of the layer's inputs."""
    names = "xy"
    document = {
        "data": {
            "dataset": "formula",
            "formula": truth,
            "variables": [f"{name} in [1, 3]" for name in names],
            "samples": 500,
            "batch_size": "all",
        },
        "model": {"family": "mlp", "basis": {"name": "bspline", "grid_size": 24, "grid_range": 3.0}, **model},
        "precision": "float64",
    }
    config = TrialConfig.model_validate(document)
    network = build_network(config)
    training, _ = load_training(config.data, torch.device("cpu"))
    assert isinstance(network, MLP) and training.targets is not None
    ends = (training.mean, training.std), (training.targets.mean, training.targets.std)
    with torch.no_grad():
        for number, (layer, functions) in enumerate(zip(mlp_layers(network), edges, strict=True)):
            weight = layer.layer.edge_weights()  # type: ignore[operator]
            weight.zero_()
            layer.layer.get_parameter("bias").zero_()
            z = torch.linspace(-3, 3, 400, dtype=torch.float64)
            for o, row in enumerate(functions):
                for i, function in enumerate(row):
                    if function is None:
                        continue
                    x = z * ends[0][1][i] + ends[0][0][i] if number == 0 else z
                    y = torch.from_numpy(function(x.numpy()))
                    if number == len(edges) - 1:
                        y = (y - ends[1][0]) / ends[1][1]
                    kept = y.isfinite() & ((x >= 1) & (x <= 3) if number == 0 else torch.ones_like(y, dtype=torch.bool))
                    solved = torch.linalg.lstsq(planes_at(layer.layer, z[kept]), y[kept, None], driver="gelsd").solution
                    weight[o, i] = solved[:, 0]
    folder.mkdir(parents=True)
    save_weights(network, folder / "model.safetensors")
    describe_model(config, folder, hold_out=True)
    return folder


def quiet(line: str) -> None:
    """Progress is not shown."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two seeds whose networks are 2x√y as exp(log x + ½ log y)."""
    folder = tmp_path_factory.mktemp("symbolic") / "model"
    half = [[[np.log, lambda y: 0.5 * np.log(y)]], [[lambda s: 2 * np.exp(s)]]]
    for seed in (0, 1):
        model_of(folder / f"seed-{seed}", "2*x*sqrt(y)", half, widths=[1])
    return folder


def test_a_folder_of_seeds_gives_a_front_of_formulas(model: Path) -> None:
    lines: list[str] = []
    found, path = find_formulas([model], None, None, None, 20, lines.append)
    best = found[-1]
    assert best.sympy == "2*x*sqrt(y)" and best.latex == r"2 x \sqrt{y}" and best.complexity == 6
    assert best.error < 1e-12 and best.test_error is not None and best.test_error < 1e-12
    assert 1e-12 < best.network_error < 1e-2, "the network is a spline, and the formula is exact"
    assert [each.complexity for each in found] == sorted(each.complexity for each in found)
    assert [each.error for each in found] == sorted((each.error for each in found), reverse=True)
    assert path == model / "symbolic.json"
    assert json.loads(path.read_text()) == {"formulas": [each.row() for each in found]}
    assert len(lines) == 4 and "seed-1" in lines[-1]


def test_products_are_products(tmp_path: Path) -> None:
    edges: list[list[list[Any]]] = [[[lambda x: x, None], [None, np.sin]], [[lambda p: p + 1]]]
    folder = model_of(tmp_path / "model", "1 + x*sin(y)", edges, widths=[1], multiply=1)
    found, _ = find_formulas([folder], "value", tmp_path / "found.json", None, 20, quiet)
    assert found[-1].sympy == "x*sin(y) + 1" and (tmp_path / "found.json").exists()


def test_the_command_prints_a_table(model: Path, tmp_path: Path) -> None:
    shown = answer("symbolic", str(model / "seed-0"), "-o", "found.json", "--latex", cwd=tmp_path)
    assert "2*x*sqrt(y)" in shown and r"2 x \sqrt{y}" in shown and shown.endswith("written to found.json\n")
    assert shown.splitlines()[2].split()[:2] == ["complexity", "nRMSE"]


def test_what_has_no_formula_says_why(model: Path, tmp_path: Path) -> None:
    with pytest.raises(KansearchError, match="no such folder"):
        find_formulas([tmp_path / "nowhere"], None, None, None, 1, quiet)
    with pytest.raises(InputError, match="has no target 'z'; there are value"):
        find_formulas([model], "z", None, None, 1, quiet)
    other = model_of(tmp_path / "other", "x + y", [[[lambda x: x, lambda y: y]]], depth=0)
    with pytest.raises(InputError, match="is of other data than"):
        find_formulas([model, other], None, None, None, 1, quiet)
    found, _ = find_formulas([other], None, None, None, 5, quiet)
    assert found[-1].sympy == "x + y"
