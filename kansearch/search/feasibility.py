"""Constraints known before training: a configuration's sizes, counted on torch's meta device, against bounds."""

from __future__ import annotations

from collections.abc import Mapping

from trials.config import TrialConfig

__all__ = ["Feasibility"]


class Feasibility:
    """Upper bounds on `parameters` and `flops`. Loads torch only if there is one."""

    def __init__(self, bounds: Mapping[str, float]) -> None:
        self._bounds = dict(bounds)

    def excess(self, config: TrialConfig) -> dict[str, float]:
        """How far above each bound `config` lies; 0 or less keeps it."""
        if not self._bounds:
            return {}
        from trials.run import count_flops, count_parameters

        count = {"parameters": count_parameters, "flops": count_flops}
        return {name: count[name](config) - bound for name, bound in self._bounds.items()}

    def reason(self, excess: Mapping[str, float]) -> str:
        """One line: which bounds are broken, by which sizes."""
        broken = [(name, amount + self._bounds[name]) for name, amount in excess.items() if amount > 0]
        return "; ".join(f"{name} {size:,.0f} > {self._bounds[name]:,.0f}" for name, size in broken)
