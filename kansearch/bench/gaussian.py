"""Gaussian process regression of several outputs with one kernel, in numpy.

    k(x, x') = a · M(r) + b · x·x' + b,  r² = Σ_d ((x_d - x'_d) / l_d)²,  M(r) = (1 + √5 r + 5/3 r²) exp(-√5 r)

and noise of variance n_k on output k. Outputs are standardised. l, a, b and n maximise the likelihood, with a wide
normal prior on their logarithms. Source: Rasmussen and Williams 2006, chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GaussianProcess", "Kernel", "fit_kernel"]

_Floats = NDArray[np.float64]
_ROOT = 5**0.5


@dataclass(frozen=True)
class Kernel:
    """Length of each input (D,), shares of the two parts, variance of each output's noise (K,)."""

    lengths: _Floats
    stationary: float
    linear: float
    noise: _Floats

    def document(self) -> dict[str, Any]:
        """Return the kernel as JSON, to six digits."""
        return {
            "lengths": [float(f"{each:.6g}") for each in self.lengths],
            "stationary": float(f"{self.stationary:.6g}"),
            "linear": float(f"{self.linear:.6g}"),
            "noise": [float(f"{each:.6g}") for each in self.noise],
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Kernel:
        """Make the kernel from what `document` gave."""
        lengths, noise = np.array(document["lengths"]), np.array(document["noise"])
        return cls(lengths, float(document["stationary"]), float(document["linear"]), noise)

    def between(self, x: _Floats, other: _Floats) -> _Floats:
        """k of all pairs: (Q, D), (N, D) -> (Q, N)."""
        r = np.sqrt(_squares(x / self.lengths, other / self.lengths))
        matern = (1 + _ROOT * r + 5 / 3 * r**2) * np.exp(-_ROOT * r)
        products: _Floats = self.stationary * matern + self.linear * (x @ other.T + 1)
        return products


class GaussianProcess:
    """Means given outputs y (N, K) at x (N, D)."""

    def __init__(self, x: _Floats, y: _Floats, kernel: Kernel) -> None:
        self._x, self._kernel = x, kernel
        self._mean, self._scale = y.mean(0), y.std(0) + 1e-12
        among, eye = kernel.between(x, x), np.eye(len(x))
        targets = (y - self._mean) / self._scale
        columns = [np.linalg.solve(among + n * eye, t) for n, t in zip(kernel.noise, targets.T, strict=True)]
        self._weights = np.stack(columns, axis=1)  # (N, K)

    def __call__(self, x: _Floats) -> _Floats:
        """(Q, D) -> (Q, K)."""
        means: _Floats = self._kernel.between(x, self._x) @ self._weights * self._scale + self._mean
        return means


def fit_kernel(x: _Floats, y: _Floats, iterations: int = 60) -> Kernel:
    """The kernel under which outputs y (N, K) at x (N, D) are most likely."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    targets = (y - y.mean(0)) / (y.std(0) + 1e-12)
    start = np.log(np.concatenate([np.full(x.shape[1], 2.0), [0.7, 0.1], np.full(y.shape[1], 0.1)]))
    objective = _Likelihood(x, targets, start)
    bounds = [(np.log(0.05), np.log(100.0))] * x.shape[1] + [(np.log(1e-4), np.log(20.0))] * (len(start) - x.shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})
    return _kernel(found.x, x.shape[1])


def _kernel(logarithms: _Floats, inputs: int) -> Kernel:
    values = np.exp(logarithms)
    return Kernel(values[:inputs], float(values[inputs]), float(values[inputs + 1]), values[inputs + 2 :])


class _Likelihood:
    """Minus the logarithm of the posterior of a kernel's logarithms, and its gradient."""

    _PRIOR = 1.5
    """Standard deviation of the prior of each logarithm, around where the search starts."""

    def __init__(self, x: _Floats, targets: _Floats, start: _Floats) -> None:
        self._x, self._targets, self._start = x, targets, start
        self._products = x @ x.T + 1

    def __call__(self, logarithms: _Floats) -> tuple[float, _Floats]:
        kernel = _kernel(logarithms, self._x.shape[1])
        scaled = self._x / kernel.lengths
        r = np.sqrt(_squares(scaled, scaled))
        decay = np.exp(-_ROOT * r)
        matern = kernel.stationary * (1 + _ROOT * r + 5 / 3 * r**2) * decay
        value, pull, noise = self._outputs(matern + kernel.linear * self._products, kernel.noise)
        slope = pull * (kernel.stationary * 5 / 3 * (1 + _ROOT * r) * decay)  # of -log p along r² / 2, for each pair
        lengths = 2 * ((scaled**2 * slope.sum(1)[:, None]).sum(0) - (scaled * (slope @ scaled)).sum(0))
        shares = [(pull * matern).sum(), (pull * kernel.linear * self._products).sum()]
        away = (logarithms - self._start) / self._PRIOR
        gradient = np.concatenate([lengths, shares, noise]) + away / self._PRIOR
        return value + float(away @ away) / 2, gradient

    def _outputs(self, among: _Floats, noise: _Floats) -> tuple[float, _Floats, _Floats]:
        """Sum over the outputs of -log p; its slope along each entry of the kernel's matrix, and along log n_k."""
        value, pull, slopes = 0.0, np.zeros_like(among), []
        for variance, target in zip(noise, self._targets.T, strict=True):
            matrix = among + variance * np.eye(len(among))
            inverse = np.linalg.inv(matrix)
            weights = inverse @ target
            value += float(target @ weights + np.linalg.slogdet(matrix)[1]) / 2
            own = (inverse - np.outer(weights, weights)) / 2
            pull += own
            slopes.append(variance * np.trace(own))
        return value, pull, np.array(slopes)


def _squares(x: _Floats, other: _Floats) -> _Floats:
    """Squared distances of all pairs: (Q, D), (N, D) -> (Q, N)."""
    squares = (x**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * x @ other.T
    positive: _Floats = np.maximum(squares, 0.0)
    return positive
