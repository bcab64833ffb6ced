"""L-BFGS that waits for the device once for each evaluation of the loss, and once for each direction.

    measure    place the parameters at x + t·d, evaluate the loss and its gradient there     the device, capturable
    aim        update the curvature pairs, compute the next direction d                      the device, capturable
    minimize   choose t (strong Wolfe conditions), decide when the step ends                 the host

A CUDA graph can hold `measure` and `aim`: neither allocates what outlives it, nor waits (see `lbfgs_epoch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trials.training.lbfgs_history import History
from trials.training.lbfgs_search import Point, strong_wolfe

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """L-BFGS with a strong-Wolfe line search: the iterates of `torch.optim.LBFGS`, to rounding, with its defaults.

    The parameters share one dtype and one device. A step evaluates the loss until that was done 5/4 `max_iter` times,
    and twice at least where there is a gradient. The source is Nocedal and Wright, Numerical Optimization (2006),
    algorithms 3.5, 3.6 and 7.5, as `torch.optim.LBFGS` varies them. Raises ValueError for a value out of range and for
    several groups of parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1.0,
        max_iter: int = 20,
        history_size: int = 100,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
    ) -> None:
        if lr < 0 or max_iter < 1 or history_size < 1:
            raise ValueError(
                f"lr >= 0, max_iter >= 1 and history_size >= 1 must hold, got {lr}, {max_iter} and {history_size}"
            )
        tolerances = {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(params, {"lr": lr, "max_iter": max_iter, "history_size": history_size, **tolerances})
        if len(self.param_groups) > 1:
            raise ValueError(f"L-BFGS has one group of parameters, got {len(self.param_groups)}")
        self._params: list[Tensor] = self.param_groups[0]["params"]
        first = self._params[0]
        size = sum(p.numel() for p in self._params)
        self.iterations = 0
        self.evaluations = 0
        self._taken = 0.0  # t of the last line search
        self._length = torch.zeros((), dtype=first.dtype, device=first.device)  # t, for the device
        flat = [first.new_zeros(size) for _ in range(5)]
        self._start, self._trial, self._direction, self._gradient, self._previous = flat
        parts = self._trial.split([p.numel() for p in self._params])
        self._views = [part.view(p.shape) for part, p in zip(parts, self._params, strict=True)]
        self._pair = first.new_zeros(2, size)
        self._history = History(history_size, size, first.dtype, first.device)
        self._measured = first.new_zeros(3)
        self._aimed = first.new_zeros(2)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Minimize the loss that `closure` returns, whose gradients it leaves in the parameters; its first value."""
        losses: list[Tensor] = []
        self.minimize(lambda: losses.append(self.measure(closure)), self.aim)
        return losses[0]

    @torch.no_grad()
    def start(self) -> None:
        """Begin a step at the parameters as they are: `measure` leaves them there."""
        self._gather(self._params, self._start)
        self._length.zero_()

    @torch.no_grad()
    def measure(self, closure: Callable[[], Tensor]) -> Tensor:
        """Place the parameters at x + t·d, and measure loss, slope gᵀd and max |g| there; the loss."""
        self._place()
        with torch.enable_grad():
            loss = closure().detach()
        self._gather([torch.zeros_like(p) if p.grad is None else p.grad for p in self._params], self._gradient)
        largest = torch.linalg.vector_norm(self._gradient, torch.inf)
        torch.stack([loss.to(largest.dtype), self._slope(), largest], out=self._measured)
        return loss

    @torch.no_grad()
    def aim(self) -> None:
        """Take the parameters as the new x, and t·d as the way there; the direction from x, its slope and max |d|."""
        self._gather(self._params, self._start)
        torch.mul(self._direction, self._length, out=self._pair[0])
        torch.sub(self._gradient, self._previous, out=self._pair[1])
        self._history.remember(self._pair)
        self._previous.copy_(self._gradient)
        torch.neg(self._history.times(self._gradient), out=self._direction)
        torch.stack([self._slope(), torch.linalg.vector_norm(self._direction, torch.inf)], out=self._aimed)

    @torch.no_grad()
    def rehearse(self) -> None:
        """Run `aim` without an effect on the next step: a step of length 0 is no curvature pair."""
        direction, previous = self._direction.clone(), self._previous.clone()
        self._length.zero_()
        self.aim()
        self._direction.copy_(direction)
        self._previous.copy_(previous)

    @torch.no_grad()
    def minimize(self, measure: Callable[[], object], aim: Callable[[], object]) -> None:
        """One step. `measure` and `aim` do what the methods of these names do, perhaps from a CUDA graph."""
        group = self.param_groups[0]
        lr, tolerance = float(group["lr"]), group["tolerance_change"]
        most = group["max_iter"] * 5 // 4
        self.start()
        here, done = self._point(0.0, measure), 1
        self.evaluations += 1
        for iteration in range(group["max_iter"]):
            if here.largest <= group["tolerance_grad"]:
                break
            self.iterations += 1
            self._length.fill_(self._taken)
            aim()
            slope, longest = self._aimed.tolist()
            self._taken = lr
            if self.iterations == 1:
                self._taken *= min(1.0, 1.0 / self._gradient.abs().sum().item())
            if slope > -tolerance:
                break
            start = Point(0.0, here.loss, slope, here.largest, self._previous)
            here, used = strong_wolfe(lambda t: self._at(t, measure), start, self._taken, longest, most - done)
            self._arrive(here)
            done += used
            self.evaluations += used
            if iteration + 1 == group["max_iter"] or done >= most:
                break
            if abs(self._taken) * longest <= tolerance or abs(here.loss - start.loss) < tolerance:
                break

    def state_dict(self) -> dict[str, Any]:
        """The state of the next step, complete: a step after `load_state_dict` gives the same numbers."""
        state = super().state_dict()
        if self.evaluations:
            state["state"] = {
                0: {
                    "n_iter": self.iterations,
                    "func_evals": self.evaluations,
                    "t": self._taken,
                    "d": self._direction,
                    "prev_flat_grad": self._previous,
                    **self._history.state(),
                }
            }
        return state

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a `state_dict()`, of `torch.optim.LBFGS` too, and of another device or history size."""
        super().load_state_dict({**state_dict, "state": {}})
        state = state_dict["state"].get(0, {})
        self.iterations, self.evaluations = state.get("n_iter", 0), state.get("func_evals", 0)
        self._taken = float(state.get("t") or 0.0)
        for name, tensor in (("d", self._direction), ("prev_flat_grad", self._previous)):
            tensor.zero_() if state.get(name) is None else tensor.copy_(state[name])
        self._history.load(state)

    def _point(self, t: float, measure: Callable[[], object]) -> Point:
        measure()
        loss, slope, largest = self._measured.tolist()  # the one wait for the device
        return Point(t, loss, slope, largest, self._gradient)

    def _at(self, t: float, measure: Callable[[], object]) -> Point:
        self._length.fill_(t)
        return self._point(t, measure)

    def _arrive(self, point: Point) -> None:
        """Leave the parameters and the gradient at a point of the line search, which need not be the last."""
        self._taken = point.t
        if point.gradient is not self._gradient:
            self._gradient.copy_(point.gradient)
            self._length.fill_(point.t)
            self._place()

    def _place(self) -> None:
        torch.addcmul(self._start, self._direction, self._length, out=self._trial)
        torch._foreach_copy_(self._params, self._views)

    def _slope(self) -> Tensor:
        return torch.sum(self._gradient * self._direction)

    @staticmethod
    def _gather(tensors: list[Tensor], flat: Tensor) -> None:
        torch.cat([each.reshape(-1) for each in tensors], out=flat)
