"""L-BFGS takes the steps of torch's, resumes exactly, and computes on the device without a wait."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.datasets import data_shape
from trials.data.splits import Split, random_split
from trials.models import build_network
from trials.training.epoch import EagerEpoch
from trials.training.lbfgs import LBFGS
from trials.training.lbfgs_epoch import LineSearchEpoch
from trials.training.lbfgs_history import History
from trials.training.optim import build_optimizer, load_optimizer

Loss = Callable[[int], Tensor]
"""The loss of a step: its batch may be another one in each."""


def quadratic(dtype: torch.dtype) -> tuple[list[nn.Parameter], Loss]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((20, 20), (20,)))
    a = (a @ a.T / 20 + torch.diag(torch.logspace(-2, 1, 20, dtype=torch.float64))).to(dtype)
    p = nn.Parameter(torch.zeros(20, dtype=dtype))
    return [p], lambda step: p @ a @ p / 2 - b.to(dtype) @ p


def rosenbrock(dtype: torch.dtype) -> tuple[list[nn.Parameter], Loss]:
    p = nn.Parameter(torch.tensor([-1.2, 1.0, -0.5, 0.8], dtype=dtype))
    return [p], lambda step: (100 * (p[1:] - p[:-1] ** 2) ** 2 + (1 - p[:-1]) ** 2).sum()


def network(dtype: torch.dtype, batches: int = 1) -> tuple[list[nn.Parameter], Loss]:
    """A small KAN network for digits; with several batches, in turn."""
    document: dict[str, Any] = {
        "data": {"dataset": "digits", "batch_size": 32},
        "model": {"depth": 2, "width": 4, "basis": {"name": "gram", "degree": 2}, "normalization": "layer"},
    }
    config = TrialConfig.model_validate(document)
    torch.manual_seed(0)
    model = build_network(config)
    split = random_split(data_shape(config.data), 32 * batches, torch.device("cpu"))
    model = model.to(dtype)

    def loss(step: int) -> Tensor:
        part = slice(32 * (step % batches), 32 * (step % batches + 1))
        outputs = model(split.normalised(split.images[part]).to(dtype))
        return nn.functional.cross_entropy(outputs, split.labels[part])

    return list(model.parameters()), loss


def changing(dtype: torch.dtype) -> tuple[list[nn.Parameter], Loss]:
    """Another batch in each step, so that some pairs have no positive curvature."""
    return network(dtype, batches=3)


PROBLEMS = [quadratic, rosenbrock, network, changing]
OPTIONS = [(1.0, 4, 10), (0.3, 4, 2), (1.0, 1, 4), (0.05, 7, 3)]
"""lr, max_iter, history_size."""


def ours(params: list[nn.Parameter], lr: float, max_iter: int, history_size: int) -> LBFGS:
    return LBFGS(params, lr, max_iter, history_size)


def torchs(params: list[nn.Parameter], lr: float, max_iter: int, history_size: int) -> torch.optim.LBFGS:
    return torch.optim.LBFGS(params, lr=lr, max_iter=max_iter, history_size=history_size, line_search_fn="strong_wolfe")


def take(optimizer: Any, loss: Loss, steps: range) -> list[float]:
    """The first loss of each step."""

    def step(number: int) -> float:
        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(number)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        return float(optimizer.step(closure).detach())

    return [step(number) for number in steps]


def flat(params: list[nn.Parameter]) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in params]).double()


def counts(optimizer: Any) -> tuple[int, int]:
    state = optimizer.state_dict()["state"][0]
    return state["n_iter"], state["func_evals"]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
def test_it_takes_torchs_steps(problem: Any, options: tuple[float, int, int]) -> None:
    results = []
    for make in (ours, torchs):
        params, loss = problem(torch.float64)
        optimizer = make(params, *options)
        losses = take(optimizer, loss, range(6))  # rounding errors grow tenfold a step
        results.append((losses, flat(params), counts(optimizer)))
    (losses, params, done), (expected, theirs, wanted) = results
    assert done == wanted, "iterations and evaluations"
    assert losses == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(params, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.__name__)
def test_in_float32_it_errs_no_more_than_torch(problem: Any) -> None:
    params, loss = problem(torch.float64)
    take(torchs(params, 0.3, 4, 5), loss, range(6))
    truth = flat(params)
    errors = []
    for make in (ours, torchs):
        params, loss = problem(torch.float32)
        take(make(params, 0.3, 4, 5), loss, range(6))
        errors.append(float((flat(params) - truth).norm() / truth.norm()))
    assert errors[0] < 5 * errors[1] + 1e-6


def test_at_a_minimum_it_evaluates_once_and_stays() -> None:
    p = nn.Parameter(torch.zeros(3))
    optimizer = LBFGS([p])
    take(optimizer, lambda step: p.square().sum(), range(1))
    assert counts(optimizer) == (0, 1)
    assert torch.equal(p, torch.zeros(3))


@pytest.mark.parametrize("lr", [1.0, 30.0])
def test_where_the_loss_is_no_number_it_does_what_torch_does(lr: float) -> None:
    results = []
    for make in (ours, torchs):
        p = nn.Parameter(torch.tensor([0.1, 2.0, 0.5], dtype=torch.float64))
        optimizer = make([p], lr, 4, 3)
        take(optimizer, lambda step, p=p: (p.square() - p.log()).sum(), range(4))  # type: ignore[misc]
        results.append((p.detach(), counts(optimizer)))
    assert results[0][1] == results[1][1]
    torch.testing.assert_close(results[0][0], results[1][0], equal_nan=True)


def test_its_matrix_is_that_of_the_formula_of_bfgs() -> None:
    """H <- (I - sy'/s'y) H (I - ys'/s'y) + ss'/s'y, from γI, over the last pairs of positive curvature."""
    torch.manual_seed(0)
    history = History(3, 6, torch.float64, torch.device("cpu"))
    kept: list[tuple[Tensor, Tensor]] = []
    for number in range(9):
        s = torch.randn(6, dtype=torch.float64)
        y = s * torch.rand(6, dtype=torch.float64) * (-1 if number in (0, 4, 5) else 1)
        history.remember(torch.stack([s, y]))
        kept = [*kept, (s, y)][-3:] if s @ y > 0 else kept
        matrix = torch.eye(6, dtype=torch.float64) * (
            (kept[-1][0] @ kept[-1][1]) / kept[-1][1].square().sum() if kept else 1
        )
        for s, y in kept:
            left = torch.eye(6, dtype=torch.float64) - torch.outer(s, y) / (s @ y)
            matrix = left @ matrix @ left.T + torch.outer(s, s) / (s @ y)
        g = torch.randn(6, dtype=torch.float64)
        torch.testing.assert_close(history.times(g), matrix @ g)


def test_a_checkpoint_of_torchs_optimizer_goes_on() -> None:
    results = []
    for make in (ours, torchs):
        params, loss = network(torch.float64)
        first = torchs(params, 0.3, 4, 3)
        take(first, loss, range(4))
        second = make(params, 0.3, 4, 3)
        load_optimizer(second, first.state_dict())
        take(second, loss, range(4, 8))
        results.append(flat(params))
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6)


def saved(optimizer: LBFGS) -> dict[str, Any]:
    """A state as a checkpoint holds it: tensors and plain values alone."""
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("done", [1, 2, 5])
def test_a_resumed_step_is_the_same_bit_for_bit(done: int, dtype: torch.dtype) -> None:
    params, loss = changing(dtype)
    optimizer = ours(params, 0.3, 4, 3)
    take(optimizer, loss, range(done))
    resumed, other_loss = changing(dtype)
    for p, value in zip(resumed, params, strict=True):
        p.data.copy_(value.data)
    other = ours(resumed, 0.3, 4, 3)
    take(other, lambda step: other_loss(step) * 0, range(2))  # what was there before is forgotten
    load_optimizer(other, saved(optimizer))
    assert take(other, other_loss, range(done, done + 4)) == take(optimizer, loss, range(done, done + 4))
    assert torch.equal(flat(resumed), flat(params))


def test_a_shorter_history_keeps_the_newest_pairs() -> None:
    torch.manual_seed(0)
    long, short, fresh = (History(size, 5, torch.float64, torch.device("cpu")) for size in (4, 2, 2))
    for _ in range(7):
        s = torch.randn(5, dtype=torch.float64)
        pair = torch.stack([s, s * torch.rand(5, dtype=torch.float64)])
        long.remember(pair)
        fresh.remember(pair)
    short.load(copy.deepcopy(long.state()))
    g = torch.randn(5, dtype=torch.float64)
    torch.testing.assert_close(short.times(g), fresh.times(g))


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"max_iter": 0}, {"history_size": 0}])
def test_values_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        LBFGS([nn.Parameter(torch.ones(1))], **options)


def test_nothing_on_the_device_depends_on_a_value_that_the_host_reads() -> None:
    """Tensors of the meta device have no values: reading one, or choosing by one, raises."""
    p, q = (nn.Parameter(torch.ones(5, 2, device="meta")) for _ in range(2))
    optimizer = LBFGS([p, q], history_size=3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.start()
    for _ in range(5):
        optimizer.measure(closure)
        optimizer.aim()
    optimizer.rehearse()


def test_each_result_stays_where_it_was() -> None:
    """A CUDA graph knows tensors by their addresses."""
    params, loss = changing(torch.float32)
    optimizer = ours(params, 0.3, 4, 3)

    def addresses() -> list[int]:
        held = [*params, *vars(optimizer).values(), *vars(optimizer._history).values(), *optimizer._views]
        return [each.data_ptr() for each in held if isinstance(each, Tensor)]

    before = addresses()
    take(optimizer, loss, range(5))
    load_optimizer(optimizer, saved(optimizer))
    optimizer.rehearse()
    assert addresses() == before


def test_a_rehearsal_changes_no_step() -> None:
    results = []
    for rehearsed in (False, True):
        params, loss = changing(torch.float32)
        optimizer = ours(params, 0.3, 4, 3)
        for step in range(5):
            if rehearsed:
                optimizer.rehearse()
            take(optimizer, loss, range(step, step + 1))
        results.append(flat(params))
    assert torch.equal(*results)


RANDOM: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 32, "augment": "crop_flip"},
    "model": {
        "depth": 2,
        "width": 4,
        "basis": {"name": "gram"},
        "normalization": "batch",
        "dropout": 0.2,
        "noise": 0.1,
    },
    "regularization": {"l1_weight": 1e-5, "l2_activation": 1e-3, "label_smoothing": 0.1},
    "optimizer": {"name": "lbfgs", "lr": 0.3, "history_size": 3},
}


def streamed(split: Split) -> Split:
    return Split(split.images, split.labels, split.mean, split.std, torch.arange(len(split)))


@pytest.mark.parametrize("place", [lambda split: split, streamed], ids=["resident", "streamed"])
def test_an_epoch_in_pieces_has_the_numbers_of_an_eager_one(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is called where CUDA would replay it: what the host decides is the same."""

    def uncaptured(function: Any, warm_up: Any, device: Any, generators: Any = (), pool: Any = None) -> Any:
        warm_up()
        return SimpleNamespace(replay=function)

    monkeypatch.setattr("trials.training.lbfgs_epoch.capture", uncaptured)
    config = TrialConfig.model_validate(RANDOM)
    torch.manual_seed(1)
    split = place(random_split(data_shape(config.data), 100, torch.device("cpu")))
    results = []
    for kind in (EagerEpoch, LineSearchEpoch):
        torch.manual_seed(0)
        model = build_network(config)
        optimizer = build_optimizer(config.optimizer, model)
        epoch = kind(config, model, optimizer, split)  # type: ignore[arg-type]
        losses = [float(epoch(number, [0.3, 0.2, 0.1])) for number in range(3)]
        results.append((losses, counts(optimizer), model.state_dict()))
    assert results[0][:2] == results[1][:2]
    assert all(torch.equal(value, results[1][2][name]) for name, value in results[0][2].items())
