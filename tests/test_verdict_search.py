"""`launch --verdict`: what each arm may search, what is refused, and a whole one whose driver is killed."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest

from kansearch.commands.verdict_search import arm_spaces
from kansearch.engine.plan import least_parameters
from kansearch.errors import InputError
from kansearch.space import RandomSuggest, SearchSpace, find_space, load_space, parse_space, shipped_spaces
from kansearch.space.arms import arm_overrides, controls
from kansearch.study.seeds import SeedStore
from kansearch.study.study import Study
from tests.commandline import Command, kansearch_fixture, one_line
from tests.helpers import SMALL_SPACE, opened, start, stop, wait_until
from tests.support.searches import copy_mlflow_database, shared_ray_fixture
from trials.config.basis import kind_of

__all__ = ["kansearch_fixture", "shared_ray_fixture"]


def small(**changes: str) -> SearchSpace:
    return parse_space(
        SMALL_SPACE, "small.yaml", [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
    )


def kinds(space: SearchSpace, count: int = 30) -> set[str]:
    """Kinds of random networks of a space."""
    drawn = (space.sample(RandomSuggest(random.Random(seed))) for seed in range(count))
    return {kind_of(config.model.model_dump(mode="json")) for config in drawn}


@pytest.mark.parametrize("name", [name for name, *_ in shipped_spaces() if name != "cifar100_gram"])
def test_each_arm_of_a_shipped_space_draws_its_networks_alone(name: str) -> None:
    space = load_space(find_space(name))
    for arm in ("KAN", "plain"):
        assert kinds(parse_space(space.source, space.file, [*space.overrides, *arm_overrides(space, arm)])) == {arm}


def test_an_arm_keeps_every_other_hyperparameter() -> None:
    space = load_space(find_space("quickstart"))
    whole = space.hyperparameters()
    for arm, each in arm_spaces(space, []).items():
        kept = each.hyperparameters()
        gone = {name for name in whole if name.startswith("model.basis.")} if arm == "plain" else set()
        assert kept.keys() == whole.keys() - gone
        assert all(kept[name] == whole[name] for name in kept if name != "model.basis")


def test_controls_are_in_neither_arm() -> None:
    bases = "{choice: [none, power_mlp, rbf, spline_activation]}"
    space = small(model__basis=bases)
    assert controls(space) == ["power_mlp", "spline_activation"]
    assert [kinds(each) for each in arm_spaces(space, []).values()] == [{"KAN"}, {"plain"}]


def test_networks_that_a_combination_tells_apart_are_refused() -> None:
    model = "{family: kanc, convolution: {choice: [kan, plain]}, classifier: {choice: [linear, kan]}, basis: rbf}"
    with pytest.raises(InputError, match="classifier and convolution together decide what is a KAN"):
        arm_spaces(small(model=model), [])


def test_both_arms_have_the_same_budget_and_begin_with_nothing() -> None:
    space = small(enqueue="[{model: {width: 3}}]", search__trials="9", constraints="{parameters: 5000}")
    for end, each in zip(("kan", "plain"), arm_spaces(space, [1_000.0, 9_000.0]).values(), strict=True):
        assert each.study == f"small-{end}"
        assert (each.search.trials, each.search.seed, each.search.start, each.enqueued) == (9, 1, "none", ())
        assert each.constraints == {"parameters": 5_000}


def test_the_fewest_parameters_are_found_where_random_draws_would_miss_them() -> None:
    space = small(model__width="{int: [2, 400]}")
    config = {"width": 2, "depth": 1}
    least = min(least_parameters(each) for each in arm_spaces(space, []).values())
    assert least == least_parameters(small(model=json.dumps({**config, "basis": "none"})))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verdict", "--set", "model.basis=rbf"], "there is no plain network: add `none`"),
        (["--verdict", "--set", "model.basis=none"], "there is no KAN: add a KAN's, such as `rbf`"),
        (["--verdict", "--sizes", "50,9k"], "--sizes 50,9k: 50 parameters are out of reach here: "),
        (["--verdict", "--sizes", "1k,x"], "'x' is no number of parameters"),
        (["--verdict", "--sizes", "1k,2k", "--set", "objectives={accuracy: maximize}"], "objectives.parameters="),
        (["--verdict", "--set", "objectives={parameters: minimize}"], "no objective that a test split measures"),
        (["--verdict", "--seeds", "2"], "--seeds 2: a verdict needs 3 or more"),
        (["--verdict", "--from", "other"], "leave out --from"),
        (["--sizes", "1k"], "--sizes and --seeds go with --verdict"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_line(
    arguments: list[str], message: str, kansearch: Command, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    told = kansearch("launch", "small.yaml", *arguments, cwd=tmp_path)
    assert message in one_line(told, 2)
    assert not (tmp_path / "studies").exists()


def test_a_study_of_other_settings_is_no_arm(kansearch: Command, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    Study.create(tmp_path / "studies", small(study="small-plain"))
    told = kansearch("launch", "small.yaml", "--verdict", cwd=tmp_path)
    assert "study 'small-plain' in studies is of another space, or of other settings" in one_line(told, 2)


@pytest.mark.usefixtures("shared_ray")
def test_a_killed_verdict_goes_on_with_the_same_command(kansearch: Command, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    copy_mlflow_database(tmp_path / "studies/mlflow.db")
    command = (
        "launch",
        "small.yaml",
        "--verdict",
        "--sizes",
        "5k",
        "--seeds",
        "3",
        "--trials",
        "2",
        "--max-concurrent",
        "1",
    )
    driver = start(*command, cwd=tmp_path)
    homes = [tmp_path / f"studies/small-{end}" for end in ("kan", "plain")]
    wait_until(lambda: (homes[0] / "study.json").exists() and finished(homes[0]) > 0)
    stop(driver, signal.SIGKILL)
    before = {
        record.number: record.curve for record in Study.open(homes[0].parent, "small-kan").records() if record.values
    }
    told = kansearch(*command, cwd=tmp_path)
    assert told.code == 0, told
    assert "kansearch report small-kan small-plain" in told.out
    studies = [Study.open(each.parent, each.name) for each in homes]
    assert [finished(each) for each in homes] == [2, 2]
    assert all(studies[0].records()[number].curve == curve for number, curve in before.items())
    seeds = [SeedStore(each).records() for each in homes]
    assert all(each and {run.state for run in each} == {"complete"} for each in seeds)
    assert [{run.seed for run in each} for each in seeds] == [{1, 2, 3}] * 2
    judged = json.loads(kansearch("verdict", "small-kan", "small-plain", "--sizes", "5k", "--json", cwd=tmp_path).out)
    assert {judged["verdicts"][0][arm]["seeds"] for arm in ("kan", "plain")} == {3}


def finished(folder: Path) -> int:
    return opened(folder.parent, folder.name).finished()
