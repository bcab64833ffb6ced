"""Constraints known before training: a configuration's sizes, counted on torch's meta device, against bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trials.config import TrialConfig

__all__ = ["Feasibility"]


class Feasibility:
    """Upper bounds on `parameters`, `flops` and `peak_memory_mib`. Loads torch only if there is one.

    Peak memory is an estimate for a trial of `threads` CPU threads on a GPU, where this machine has one, else its CPU.
    """

    def __init__(self, bounds: Mapping[str, float], threads: int = 1, data_dir: Path | None = None) -> None:
        self._bounds = dict(bounds)
        self._threads = threads
        self._data_dir = data_dir

    def excess(self, config: TrialConfig) -> dict[str, float]:
        """How far above each bound `config` lies; 0 or less keeps it. Empty where it cannot be built: its worker will
        say why."""
        if not self._bounds:
            return {}
        from trials.training import measure

        try:
            sizes = measure(config, self._bounds, threads=self._threads, data_dir=self._data_dir)
        except (ValueError, RuntimeError):
            return {}
        return self.over(sizes)

    def over(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """`excess` of a configuration whose sizes are known."""
        return {name: sizes[name] - bound for name, bound in self._bounds.items()}

    def reason(self, excess: Mapping[str, float]) -> str:
        """One line: which bounds are broken, by which sizes."""
        broken = [(name, amount + self._bounds[name]) for name, amount in excess.items() if amount > 0]
        return "; ".join(f"{name} {size:,.0f} > {self._bounds[name]:,.0f}" for name, size in broken)
