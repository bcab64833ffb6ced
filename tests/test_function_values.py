"""Data sets that are functions: formulas are parsed, never run, and every value is scipy's or numpy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from tests.datafiles import data_config
from trials.data.datasets import data_shape, read, training_images
from trials.data.errors import DataFileError
from trials.data.names import class_names, feature_names
from trials.data.tables.feynman import EQUATIONS
from trials.data.tables.generated import SPECIAL, drawn_of
from trials.formulas import Formula, FormulaError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("2 ^ 3 ^ 2", 512.0),
        ("-x ** 2", -4.0),
        ("(-x) ^ 2 + y", 4.5),
        ("exp(sin(pi * y) + x^2)", math.exp(1 + 4)),
        ("ln(x) + log(x)", 2 * math.log(2)),
        ("sqrt(abs(-x)) * arctan(1e300 * x)", math.sqrt(2) * math.pi / 2),
        ("tanh(y) / cosh(y)", math.tanh(0.5) / math.cosh(0.5)),
        ("9 ** 9 ** 9", math.inf),
    ],
)
def test_a_formula_is_its_arithmetic(text: str, expected: float) -> None:
    assert Formula(text)({"x": np.array(2.0), "y": np.array(0.5)}) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('true')", "that is no function here"),
        ("open('x')", "open is no function here"),
        ("x.real", "column 1: numbers, names, pi"),
        ("x[0]", "numbers, names, pi"),
        ("'a' * 9", "numbers, names, pi"),
        ("[1 for x in y]", "numbers, names, pi"),
        ("(lambda: 1)()", "no function here"),
        ("x if y else 1", "numbers, names, pi"),
        ("x := 2", "not a formula"),
        ("sin", "sin is a function; write sin"),
        ("sin(x, y)", "sin takes one argument"),
        ("sin(*x)", "sin takes one argument"),
        ("sin(x", "column 4: not a formula"),
        ("x // 2", "numbers, names, pi"),
        ("True + 1", "numbers, names, pi"),
        ("1j * x", "numbers, names, pi"),
        ("x\x00", "not a formula"),
        ("", "not a formula"),
        ("(" * 300 + "x" + ")" * 300, "not a formula"),
        ("-" * 100 + "x", "nested more than 60 deep"),
        ("x+" * 1500 + "x", "at most 2000"),
    ],
)
def test_everything_else_is_refused_without_being_run(text: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message.replace("(", r"\(").replace("[", r"\[")):
        Formula(text)


def test_a_formula_of_ones_own_is_drawn_from_its_ranges() -> None:
    fields = {"formula": "x * y^2", "variables": ["x in [-1, 1]", "y in [2, 3.5]"], "samples": 400, "test_samples": 50}
    config = data_config(dataset="formula", **fields)
    training, test = read(config, None)
    assert feature_names(config) == ["x", "y"] and class_names(config) == ["value"]
    assert (training_images(config), len(training), len(test)) == (400, 400, 50)
    x, y = training.images.T
    assert np.array_equal(training.labels[:, 0], x * y**2)
    assert x.min() >= -1 and x.max() <= 1 and y.min() >= 2 and y.max() <= 3.5 and x.std() > 0.5
    again, _ = read(data_config(dataset="formula", **fields, make_seed=1), None)
    assert not np.array_equal(again.images, training.images)


def test_noise_is_on_the_training_targets_alone() -> None:
    clean, noisy = (read(data_config(dataset="special", special="jv", noise=noise), None) for noise in (0.0, 0.1))
    assert np.array_equal(clean[1].labels, noisy[1].labels) and np.array_equal(clean[0].images, noisy[0].images)
    assert (noisy[0].labels - clean[0].labels).std() == pytest.approx(0.1 * clean[0].labels.std(), rel=0.1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"formula": "x + z", "variables": ["x in [0, 1]"]}, "z of the formula has no range; add 'z in"),
        ({"formula": "x", "variables": ["x in [0, 1]", "y in [0, 1]"]}, "y is not in the formula"),
        ({"formula": "x", "variables": ["x = 3"]}, "is no range; write 'x in"),
        ({"formula": "x", "variables": ["x in [1, 0]"]}, "low < high must hold"),
        ({"formula": "x", "variables": ["x in [0, 1]", "x in [0, 2]"]}, "x has two ranges"),
        ({"formula": "import os", "variables": ["x in [0, 1]"]}, "not a formula"),
    ],
)
def test_a_formula_and_its_ranges_must_fit(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data_config(dataset="formula", **fields)


def test_a_value_that_is_not_finite_is_an_error_with_its_point() -> None:
    config = data_config(dataset="formula", formula="log(x)", variables=["x in [-1, 1]"])
    with pytest.raises(DataFileError, match=r"not finite at x = -0\.\d+; change the variables' ranges"):
        read(config, None)


def test_there_are_formulas_enough_and_every_one_is_finite_on_its_ranges() -> None:
    assert len(EQUATIONS) >= 30
    for equation in EQUATIONS:
        config = data_config(dataset="feynman", equation=equation)
        training, _ = read(config, None)
        drawn = drawn_of(config)
        assert set(Formula(EQUATIONS[equation][0]).names) == set(drawn.ranges), equation
        assert training.images.shape == (1000, data_shape(config).channels) and training.labels.std() > 0
    with pytest.raises(ValueError, match=r"must be the number of an equation, perhaps I\.6\.2"):
        data_config(dataset="feynman", equation="i.6.20")


def test_feynman_formulas_are_those_of_the_lectures() -> None:
    """Against the formulas written out once more."""
    oracles = {
        "I.6.2": lambda sigma, theta: np.exp(-((theta / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma),
        "I.15.3t": lambda x, c, u, t: (t - u * x / c**2) / np.sqrt(1 - u**2 / c**2),
        "I.44.4": lambda n, kb, T, V1, V2: n * kb * T * np.log(V2 / V1),
        "II.35.21": lambda n_rho, mom, B, kb, T: n_rho * mom * np.tanh(mom * B / (kb * T)),
    }
    for equation, oracle in oracles.items():
        split, _ = read(data_config(dataset="feynman", equation=equation), None)
        assert np.allclose(split.labels[:, 0], oracle(*split.images.T), rtol=1e-12), equation


def test_special_functions_are_scipys() -> None:
    oracles = {
        "ellipkinc": special.ellipkinc,
        "jv": special.jv,
        "yvp": special.yvp,
        "lpmv1": lambda v, x: special.lpmv(1, v, x),
        "sph_harm01": lambda azimuth, polar: np.sqrt(3 / (4 * np.pi)) * np.cos(polar),
        "sph_harm02": lambda azimuth, polar: np.sqrt(5 / (16 * np.pi)) * (3 * np.cos(polar) ** 2 - 1),
    }
    for name in SPECIAL:
        config = data_config(dataset="special", special=name)
        training, test = read(config, None)
        assert training.images.shape == test.images.shape == (1000, 2) and (training.images > 0).all()
        assert training.labels.shape[1] == data_shape(config).classes == len(class_names(config))
        if name in oracles:
            assert np.allclose(training.labels[:, 0], oracles[name](*training.images.T), rtol=1e-12), name
    sn, cn, dn, _ = special.ellipj(*read(data_config(dataset="special", special="ellipj"), None)[0].images.T)
    labels = read(data_config(dataset="special", special="ellipj"), None)[0].labels
    assert np.array_equal(labels, np.column_stack([sn, cn, dn]))
