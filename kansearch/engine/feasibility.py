"""Constraints known before training: a configuration's sizes, counted on torch's meta device, against bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from trials.config import TrialConfig
from trials.metrics import METRICS

__all__ = ["Feasibility"]

_REMEMBERED = 1000


class Feasibility:
    """Upper bounds on `parameters`, `flops` and `peak_memory_mib`. Loads torch only if there is one.

    Peak memory is an estimate for a trial of `threads` CPU threads on a GPU, where this machine has one, else its CPU.
    """

    def __init__(self, bounds: Mapping[str, float], threads: int = 1, data_dir: Path | None = None) -> None:
        self._bounds = dict(bounds)
        self._threads = threads
        self._data_dir = data_dir
        self._known: dict[tuple[str, ...], Mapping[str, float] | None] = {}

    def excess(self, config: TrialConfig) -> dict[str, float]:
        """How far above each bound `config` lies; 0 or less keeps it. Empty where it cannot be built: its worker will
        say why."""
        sizes = self.sizes(config, self._bounds) if self._bounds else None
        return {} if sizes is None else self.over(sizes)

    def sizes(self, config: TrialConfig, names: Collection[str]) -> Mapping[str, float] | None:
        """The named sizes of the configuration's network; None where it cannot be built.

        Networks of the same sizes are counted once: those that differ in what has no part in a count.
        """
        parts = {"model", "data"} if all(METRICS[name].exact for name in names) else None
        key = (config.model_dump_json(include=parts), *sorted(names))
        if key not in self._known:
            if len(self._known) == _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = self._counted(config, names)
        return self._known[key]

    def _counted(self, config: TrialConfig, names: Collection[str]) -> Mapping[str, float] | None:
        from trials.training import measure

        try:
            return measure(config, names, threads=self._threads, data_dir=self._data_dir)
        except (ValueError, RuntimeError):
            return None

    def over(self, sizes: Mapping[str, float]) -> dict[str, float]:
        """`excess` of a configuration whose sizes are known."""
        return {name: sizes[name] - bound for name, bound in self._bounds.items()}

    def reason(self, excess: Mapping[str, float]) -> str:
        """One line: which bounds are broken, by which sizes."""
        broken = [(name, amount + self._bounds[name]) for name, amount in excess.items() if amount > 0]
        return "; ".join(f"{name} {size:,.0f} > {self._bounds[name]:,.0f}" for name, size in broken)
