"""Drawing configurations: every one is valid, and only the taken branches are asked for."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import kansearch
from kansearch.errors import InputError
from kansearch.space import (
    Branch,
    Choice,
    FloatRange,
    IntRange,
    RandomSuggest,
    Scalar,
    SearchSpace,
    find_space,
    load_space,
    parse_space,
    random_config,
    shipped_spaces,
)
from trials.config import TrialConfig

SHIPPED = [name for name, _, _ in shipped_spaces()]
HEAD = "study: s\ndata: {dataset: digits}\n"


class Recorder(RandomSuggest):
    """Draws at random and keeps what it was asked for, and with which distribution."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self.asked: dict[str, object] = {}
        self.drawn: dict[str, Scalar] = {}

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        return self._keep(name, Choice(tuple(options)), super().categorical(name, options))

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        return self._keep(name, IntRange(low, high, log, step), super().integer(name, low, high, log, step))  # type: ignore[return-value]

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        return self._keep(name, FloatRange(low, high, log, step), super().float_(name, low, high, log, step))  # type: ignore[return-value]

    def _keep(self, name: str, asked: object, drawn: Scalar) -> Scalar:
        assert name not in self.asked, "a name must be asked for once"
        self.asked[name], self.drawn[name] = asked, drawn
        return drawn


@pytest.fixture(params=SHIPPED)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    return load_space(find_space(request.param))


def test_every_sample_is_a_valid_config_and_asks_for_its_own_branches_only(space: SearchSpace) -> None:
    known = space.hyperparameters()
    branches = {name for name in known if any(other.startswith(f"{name}.") for other in known)}
    seen: set[str] = set()
    for seed in range(300):
        recorder = Recorder(random.Random(seed))
        config = space.sample(recorder)
        assert TrialConfig.model_validate(config.model_dump()) == config
        assert all(known[name] == asked for name, asked in recorder.asked.items())
        for name in recorder.asked:
            for branch in branches:
                if name.startswith(f"{branch}."):
                    assert name.startswith(f"{branch}.{recorder.drawn[branch]}.")
        seen |= recorder.asked.keys()
    assert seen == known.keys()


def test_the_same_seed_draws_the_same_configs(space: SearchSpace) -> None:
    first, second = (random.Random(7), random.Random(7))
    assert [random_config(space, first) for _ in range(20)] == [random_config(space, second) for _ in range(20)]


def test_the_drawn_values_are_the_configs_values() -> None:
    space = parse_space(HEAD + "model: {basis: {choice: [none, {name: rbf, grid_size: {int: [4, 16]}}]}}\n", "f")
    assert space.hyperparameters() == {
        "model.basis": Choice(("none", "rbf")),
        "model.basis.rbf.grid_size": IntRange(4, 16),
    }
    drawn = Counter()  # type: ignore[var-annotated]
    for seed in range(50):
        recorder = Recorder(random.Random(seed))
        basis = space.sample(recorder).model.basis
        assert basis.name == recorder.drawn["model.basis"]
        assert getattr(basis, "grid_size", None) == recorder.drawn.get("model.basis.rbf.grid_size")
        drawn[basis.name] += 1
    assert set(drawn) == {"none", "rbf"}


def test_a_plain_file_samples_its_one_config_and_asks_for_nothing() -> None:
    space = parse_space(HEAD + "model: {basis: gram, depth: 4}\noptimizer: lion\nepochs: 3\n", "f")
    recorder = Recorder(random.Random(0))
    config = space.sample(recorder)
    assert (config.model.basis.name, config.model.depth, config.optimizer.name, config.epochs) == ("gram", 4, "lion", 3)
    assert recorder.asked == {} == space.hyperparameters()


def test_branches_of_one_name_are_told_apart() -> None:
    body = "model: {basis: {choice: [{name: rbf, grid_size: 4}, {name: rbf, grid_size: {int: [8, 9]}}]}}\n"
    space = parse_space(HEAD + body, "f")
    assert list(space.hyperparameters()) == ["model.basis", "model.basis.rbf#2.grid_size"]


def test_any_mapping_may_be_a_choice_labelled_by_index() -> None:
    body = "regularization: {choice: [{}, {l1_weight: {float: [0, 1]}, label_smoothing: 0.1}]}\n"
    space = parse_space(HEAD + body, "f")
    assert isinstance(space.tree["regularization"], Branch)
    assert space.hyperparameters() == {
        "regularization": Choice(("0", "1")),
        "regularization.1.l1_weight": FloatRange(0.0, 1.0),
    }
    assert {random_config(space, random.Random(seed)).regularization.label_smoothing for seed in range(20)} == {
        0.0,
        0.1,
    }


def test_a_choice_may_hold_null_and_one_option() -> None:
    space = parse_space(HEAD + "model: {bottleneck: {choice: [null, 2]}, growth: {choice: [1]}}\n", "f")
    drawn = [random_config(space, random.Random(seed)).model for seed in range(30)]
    assert {model.bottleneck for model in drawn} == {None, 2} and {model.growth for model in drawn} == {1}


def test_steps_draw_the_grid_and_nothing_past_it() -> None:
    body = "model: {kernel_size: {int: [3, 8], step: 2}, dropout: {float: [0.1, 0.45], step: 0.1}}\n"
    space = parse_space(HEAD + body, "f")
    assert space.hyperparameters()["model.kernel_size"] == IntRange(3, 7, step=2)
    drawn = [random_config(space, random.Random(seed)).model for seed in range(100)]
    assert {model.kernel_size for model in drawn} == {3, 5, 7}
    assert {model.dropout for model in drawn} == {0.1, 0.2, 0.3, 0.4}


@pytest.mark.parametrize(("low", "high"), [(1, 1000), (4, 5), (3, 3)])
def test_log_ranges_favour_small_values_and_keep_to_their_ends(low: int, high: int) -> None:
    suggest = RandomSuggest(random.Random(0))
    integers = [suggest.integer("x", low, high, True, 1) for _ in range(2000)]
    numbers = [suggest.float_("x", low, high, True, None) for _ in range(2000)]
    assert min(integers) == low and max(integers) <= high and all(low <= number <= high for number in numbers)
    middle = (low * high) ** 0.5
    assert abs(sum(number < middle for number in numbers) - 1000) < 150 or low == high


def test_a_draw_that_does_not_go_together_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    space = parse_space(HEAD + "model: {depth: {int: [2, 4]}}\n", "f.yaml")

    class Wrong(RandomSuggest):
        def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
            return 0

    with pytest.raises(InputError, match=r"f.yaml: the drawn configuration is not valid"):
        space.sample(Wrong(random.Random(0)))


def test_settings_have_defaults_and_durations_are_seconds() -> None:
    space = parse_space(HEAD + "search: {time_budget: 1h30m, trials: 3}\nconstraints: {parameters: 100_000}\n", "f")
    assert (space.search.time_budget, space.search.trials, space.search.sampler) == (5400.0, 3, "front")
    assert dict(space.objectives) == {"accuracy": "maximize", "parameters": "minimize"}
    assert dict(space.constraints) == {"parameters": 100_000.0}
    for text, seconds in [
        ("90s", 90.0),
        ("30m", 1800.0),
        ("2h", 7200.0),
        ("1.5h", 5400.0),
        ("45", 45.0),
        ("null", None),
    ]:
        assert parse_space(HEAD + f"search: {{time_budget: {text}}}\n", "f").search.time_budget == seconds


def test_objectives_keep_the_order_of_the_file() -> None:
    text = HEAD + "objectives: {seconds: minimize, accuracy: maximize, flops: minimize}\n"
    assert list(parse_space(text, "f").objectives) == ["seconds", "accuracy", "flops"]


def test_a_space_is_rebuilt_from_its_source_and_overrides() -> None:
    space = load_space(find_space("quickstart"), ["model.depth=4"])
    assert parse_space(space.source, space.file, space.overrides) == space
    assert space.source == find_space("quickstart").read_text(encoding="utf-8")


def test_quickstart_searches_over_every_optimizer() -> None:
    assert load_space(find_space("quickstart")).hyperparameters()["optimizer"] == Choice(("adamw", "lion", "lbfgs"))


def test_shipped_spaces_are_found_by_name_and_have_a_description() -> None:
    for name, description, path in shipped_spaces():
        assert 20 < len(description) < 140 and path == find_space(name) and not description.startswith("#")


def test_a_path_is_taken_as_it_is() -> None:
    assert find_space("some/where.yaml") == Path("some/where.yaml")


def test_an_installed_package_finds_the_spaces_inside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kansearch" / "search_spaces"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text("# One network\n" + HEAD, encoding="utf-8")
    monkeypatch.setattr(kansearch, "__file__", str(tmp_path / "kansearch" / "__init__.py"))
    assert shipped_spaces() == [("tiny", "One network", folder / "tiny.yaml")]
    assert load_space(find_space("tiny")).study == "s"


def test_importing_the_space_loads_nothing_heavy() -> None:
    heavy = ["torch", "ray", "optuna", "mlflow", "numpy", "rich"]
    code = f"import sys, kansearch.space; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
