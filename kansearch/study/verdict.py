"""Is a KAN better than the best plain network here? `verdicts` answers for several bounds of parameters. No I/O.

For each bound, each arm (KANs, plain networks) is represented by its complete trial that was most accurate at
selection, on validation images. The test split, after training again with new seeds, then decides between the two: it
chose neither of them. With independent normal seeds, n₁ and n₂ of them, and the spreads s of
`kansearch.study.spread`, the difference d of the means has

    e² = s₁² / n₁ + s₂² / n₂,    freedom = e⁴ / ((s₁² / n₁)² / f₁ + (s₂² / n₂)² / f₂)    (Welch 1947, Biometrika 34, 28)

and the probability that the KAN is better is Student's t distribution at d / e, with no preference before. Of verdicts
given at 0.9 at least 0.85 are right where true differences are as large as e or larger (`tests/test_verdict.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed
from kansearch.study.records import TrialRecord
from kansearch.study.spread import LEAST_SEEDS
from trials.metrics import ON_TEST

__all__ = [
    "SURE",
    "Arm",
    "Contender",
    "Verdict",
    "arms",
    "default_sizes",
    "judged_objective",
    "picks",
    "unequal",
    "verdicts",
]

SURE = 0.9
"""A verdict is given where one of the arms is better with this probability."""
_UNEQUAL = 1.25
"""Arms that differ by more than this ratio in trials and in device-seconds were not searched with equal effort."""

ArmName = Literal["KAN", "plain"]


@dataclass(frozen=True)
class Contender:
    """A complete trial of an arm, with what its confirmation says; `study` is where it was found."""

    study: str
    trial: TrialRecord
    confirmed: Confirmed | None = None

    @property
    def parameters(self) -> int:
        return int(self.trial.metrics["parameters"])

    @property
    def seeds(self) -> int:
        """Seeds of its confirmation that are complete."""
        return 0 if self.confirmed is None else len(self.confirmed.complete)


@dataclass(frozen=True)
class Arm:
    """One kind of networks, and the search effort that it got."""

    name: ArmName
    contenders: Sequence[Contender]
    trials: int
    """How many trials trained at all, those that were stopped early too."""
    seconds: float
    """Device-seconds of these trials."""

    def best(self, objective: str, direction: Direction, most: float) -> Contender | None:
        """The best complete trial at selection with at most `most` parameters; the smaller one of two equal ones."""
        sign = -1.0 if direction == "maximize" else 1.0
        small = (each for each in self.contenders if each.parameters <= most)
        return min(small, key=lambda each: (sign * each.trial.values[objective], each.parameters), default=None)


@dataclass(frozen=True)
class Verdict:
    """The answer for networks of at most `most` parameters."""

    most: float
    objective: str
    kan: Contender | None
    plain: Contender | None
    difference: float | None = None
    """Value of the KAN minus that of the plain network, means over seeds on the test split; None where not told."""
    half: float | None = None
    """Half the width of its 95 % interval over seeds."""
    probability: float | None = None
    """Probability that the KAN is better."""

    @property
    def answer(self) -> ArmName | None:
        """The arm that is better with a probability of `SURE`; None: can't be told."""
        if self.probability is None:
            return None
        return "KAN" if self.probability >= SURE else "plain" if self.probability <= 1 - SURE else None

    @property
    def unconfirmed(self) -> list[Contender]:
        """Contenders that were not trained with enough seeds; none where one has no opponent."""
        pair = () if self.kan is None or self.plain is None else (self.kan, self.plain)
        return [each for each in pair if each.seeds < LEAST_SEEDS]

    def document(self) -> dict[str, Any]:
        """The JSON object that `kansearch verdict --json` prints."""
        return {
            "most_parameters": self.most,
            "objective": self.objective,
            "answer": self.answer,
            "difference": self.difference,
            "half_width": self.half,
            "probability_kan_better": self.probability,
            "kan": _document(self.kan, self.objective),
            "plain": _document(self.plain, self.objective),
        }


def arms(studies: Mapping[str, tuple[Sequence[TrialRecord], Sequence[Confirmed]]]) -> tuple[Arm, Arm]:
    """Both arms: KANs, and plain networks. Other controls belong to neither.

    Args:
        studies: for each study its trials, and those of them that were confirmed.
    """
    found: dict[ArmName, list[Contender]] = {"KAN": [], "plain": []}
    effort: dict[ArmName, list[float]] = {"KAN": [], "plain": []}
    for study, (trials, rows) in studies.items():
        again = {row.trial.number: row for row in rows}
        for trial in trials:
            arm = trial.stored.kind if trial.stored.document else "control"
            if arm == "control" or not trial.curve:
                continue
            effort[arm].append(trial.seconds)
            if trial.state == "complete":
                found[arm].append(Contender(study, trial, again.get(trial.number)))
    kan, plain = (Arm(name, found[name], len(effort[name]), sum(effort[name])) for name in found)
    return kan, plain


def unequal(kan: Arm, plain: Arm) -> bool:
    """Whether the arms differ clearly in trials and in seconds. Arms that are equal in one of both had equal effort."""
    pairs = ((kan.trials, plain.trials), (kan.seconds, plain.seconds))
    return all(max(pair) > _UNEQUAL * min(pair) for pair in pairs)


def judged_objective(objectives: Mapping[str, Direction]) -> str | None:
    """The last objective that a test split measures; None without one."""
    return next((name for name in reversed(list(objectives)) if name in ON_TEST), None)


def default_sizes(contenders: Iterable[Contender]) -> list[float]:
    """Bounds of parameters, half a power of ten apart, from the least with a contender to the least that has them
    all."""
    sizes = [each.parameters for each in contenders]
    if not sizes:
        return []
    low, high = (math.ceil(2 * math.log10(max(size, 1)) - 1e-9) for size in (min(sizes), max(sizes)))
    return [float(round(10 ** (step / 2), -max(step // 2 - 1, 0))) for step in range(low, high + 1)]


def verdicts(kan: Arm, plain: Arm, objectives: Mapping[str, Direction], sizes: Sequence[float]) -> list[Verdict]:
    """A verdict for each bound of parameters in `sizes`, by size; bounds with the same two contenders are one.

    Raises ValueError where no objective is measured on a test split.
    """
    objective = judged_objective(objectives)
    if objective is None:
        raise ValueError("no objective is measured on a test split")
    found: list[Verdict] = []
    for most in sorted(sizes):
        pair = [arm.best(objective, objectives[objective], most) for arm in (kan, plain)]
        if found and pair == [found[-1].kan, found[-1].plain]:
            found.pop()
        found.append(_judged(most, objective, objectives[objective], *pair))
    return found


def _judged(
    most: float, objective: str, direction: Direction, kan: Contender | None, plain: Contender | None
) -> Verdict:
    from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped] # scipy.stats takes a second to load

    verdict = Verdict(most, objective, kan, plain)
    if kan is None or plain is None or verdict.unconfirmed:
        return verdict
    assert kan.confirmed is not None and plain.confirmed is not None
    rows = (kan.confirmed, plain.confirmed)
    errors = [row.spreads[objective].deviation ** 2 / len(row.complete) for row in rows]
    difference = rows[0].mean[objective] - rows[1].mean[objective]
    better = difference if direction == "maximize" else -difference
    error = math.sqrt(sum(errors))
    if error == 0:
        return Verdict(most, objective, kan, plain, difference, 0.0, float(better > 0) if better else 0.5)
    parts = zip(errors, rows, strict=True)
    freedom = sum(errors) ** 2 / sum(each**2 / row.spreads[objective].freedom for each, row in parts)
    half = float(stdtrit(freedom, 0.975)) * error
    return Verdict(most, objective, kan, plain, difference, half, float(stdtr(freedom, better / error)))


def picks(found: Sequence[Verdict]) -> Iterator[tuple[str, list[int]]]:
    """Trials to confirm before all verdicts can be given: for each study their numbers."""
    lacking: dict[str, set[int]] = {}
    for contender in (each for verdict in found for each in verdict.unconfirmed):
        lacking.setdefault(contender.study, set()).add(contender.trial.number)
    for study, numbers in lacking.items():
        yield study, sorted(numbers)


def _document(contender: Contender | None, objective: str) -> dict[str, Any] | None:
    if contender is None:
        return None
    row = contender.confirmed
    return {
        "study": contender.study,
        "number": contender.trial.number,
        "parameters": contender.parameters,
        "seconds": contender.trial.seconds,
        "at_selection": contender.trial.values[objective],
        "seeds": contender.seeds,
        "on_test": None if row is None or not row.complete else row.mean[objective],
    }
