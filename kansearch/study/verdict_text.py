"""Verdicts in words, the same in a terminal and in the report: their answers, what they rest on, what to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed
from kansearch.study.figures import describe, duration, number
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.spread import LEAST_SEEDS
from kansearch.study.verdict import (
    Arm,
    Contender,
    Verdict,
    arms,
    default_sizes,
    judged_objective,
    picks,
    unequal,
    verdicts,
)

__all__ = ["HEADINGS", "cells", "closing", "effort", "sentence", "signed", "to_do"]

HEADINGS = ("at most", "KAN", "plain network", "KAN minus plain", "P(KAN better)", "answer")
"""The headings of a table of verdicts, a row a bound of parameters."""
_SEEDS = 5
_ANSWERS = {"KAN": "a KAN is better", "plain": "a plain network is better", None: "it can't be told which is better"}


def cells(verdict: Verdict, several: bool) -> list[str]:
    """The cells of a verdict, one under each of `HEADINGS`. several: name the study of each network."""
    difference = chance = "-"
    if verdict.difference is not None and verdict.half is not None:
        difference = signed(verdict.objective, verdict.difference, verdict.half)
        chance = f"{verdict.probability:.2f}"
    answer = {"KAN": "KAN", "plain": "plain", None: "can't be told"}[verdict.answer]
    pair = [_contender(each, verdict.objective, several) for each in (verdict.kan, verdict.plain)]
    return [f"{verdict.most:,.0f}", *pair, difference, chance, answer]


def signed(name: str, difference: float, half: float) -> str:
    """`-0.0083 ± 0.0085`."""
    return f"{'-' if difference < 0 else '+'}{number(name, abs(difference))} ± {number(name, half)}"


def _contender(contender: Contender | None, objective: str, several: bool) -> str:
    """Its number, figure, sizes, and the seconds that training it once took in the search."""
    if contender is None:
        return "none"
    row, trial = contender.confirmed, contender.trial
    told = row is not None and contender.seeds >= LEAST_SEEDS
    value = row.written(objective) if row is not None and told else "unconfirmed"
    name = f"{contender.study} {trial.number}" if several else str(trial.number)
    what = f"{describe(trial.stored)}, {duration(trial.seconds)}"
    return f"{name}: {value} with {contender.parameters:,} ({what})"


def sentence(found: Sequence[Verdict]) -> str:
    """The answers of all bounds in one sentence."""
    return "; ".join(f"with at most {each.most:,.0f} parameters {_told(each)}" for each in found)


def _told(verdict: Verdict) -> str:
    chance = verdict.probability
    if verdict.kan is None or verdict.plain is None:
        why = f", for want of a {'plain network' if verdict.kan else 'KAN'}"
    else:
        why = ", unconfirmed" if verdict.unconfirmed else ""
    sure = "" if chance is None else f" ({_chance(verdict, chance)})"
    return f"{_ANSWERS[verdict.answer]}{sure}{why}"


def _chance(verdict: Verdict, chance: float) -> str:
    if verdict.answer is None:
        return f"P(KAN) = {chance:.2f}"
    return f"P = {chance if verdict.answer == 'KAN' else 1 - chance:.2f}"


def effort(kan: Arm, plain: Arm) -> Iterator[str]:
    """The search effort of both arms, and how to make it equal."""
    parts = [
        f"{arm.name} {len(arm.contenders)} complete of {arm.trials} trials in {duration(arm.seconds)}"
        for arm in (kan, plain)
    ]
    yield f"search effort: {', '.join(parts)}"
    if unequal(kan, plain):
        yield (
            "the arms did not get equal effort, which favours the one that got more: "
            "`kansearch launch SPACE --verdict` searches each by itself, with as many trials"
        )
    yield "one search an arm: the answers are of these networks on these test images, over other seeds"


def to_do(found: Sequence[Verdict], home: str = "") -> Iterator[str]:
    """Sentences with the commands that train what the verdicts lack. `home`: option that names the studies' folder."""
    for command in _commands(found, home):
        yield f"unconfirmed: `{command}` trains the networks that are compared"


def _commands(found: Sequence[Verdict], home: str) -> Iterator[str]:
    for study, numbers in picks(found):
        yield f"kansearch confirm {study}{home} --seeds {_SEEDS} --picks {','.join(map(str, numbers))}"


def closing(
    study: str,
    trials: Sequence[TrialRecord],
    rows: Sequence[Confirmed],
    objectives: Mapping[str, Direction],
    home: str = "",
) -> str | None:
    """Say in one sentence whether a KAN is better at a study's knee; None where the study does not ask that.

    It is asked for the least of the default bounds that holds the knee and a network of either arm.

    Args:
        study: its name.
        trials: all of them.
        rows: those that were confirmed.
        objectives: direction of each.
        home: option that names the folder of studies.
    """
    kan, plain = arms({study: (trials, rows)})
    if judged_objective(objectives) is None or not kan.trials or not (kan.contenders or plain.contenders):
        return None
    for arm, name in ((kan, "KAN"), (plain, "plain network")):
        if not arm.contenders:
            return f"KAN or plain? Not told: no {name} {'completed' if arm.trials else 'was searched'}."
    size = knee(front_of(trials, objectives), objectives).metrics["parameters"]
    found = verdicts(kan, plain, objectives, default_sizes([*kan.contenders, *plain.contenders]))
    at_knee = next(each for each in found if each.most >= size and each.kan and each.plain)
    return f"KAN or plain? {_said(at_knee, kan, plain, home)}."


def _said(verdict: Verdict, kan: Arm, plain: Arm, home: str) -> str:
    name, within = verdict.objective, f"with at most {verdict.most:,.0f} parameters"
    assert verdict.kan is not None and verdict.plain is not None
    if verdict.difference is None or verdict.half is None or verdict.probability is None:
        values = [number(name, each.trial.values[name]) for each in (verdict.kan, verdict.plain)]
        commands = " and ".join(f"`{command}`" for command in _commands([verdict], home))
        return (
            f"Unconfirmed: {within} the best KAN of {len(kan.contenders)} has {name.replace('_', ' ')} {values[0]} at "
            f"selection, the best plain network of {len(plain.contenders)} {values[1]}; {commands} tells what is left"
        )
    chance = _chance(verdict, verdict.probability)
    difference = f"{name.replace('_', ' ')} {signed(name, verdict.difference, verdict.half)}"
    fair = f"; unequal effort, {kan.trials} KANs and {plain.trials} plain" if unequal(kan, plain) else ""
    answer = _ANSWERS[verdict.answer]
    return f"{within[0].upper()}{within[1:]} {answer} ({chance}, KAN minus plain {difference}){fair}"
