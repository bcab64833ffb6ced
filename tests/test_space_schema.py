"""The JSON Schema for editors says what the loader says, as far as a schema can."""

import functools
from pathlib import Path
from typing import Any, get_args

import pytest

from kansearch.errors import SpaceError
from kansearch.space import ConstraintName, ObjectiveName, SearchSettings, json_schema, parse_space, shipped_spaces
from kansearch.space.nodes import Issues, ListNode, MapNode, Node, ScalarNode, compose
from trials.config import (
    BasisConfig,
    DatasetConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PlainModelConfig,
    TrialConfig,
)
from trials.data.datasets import DATASETS
from trials.models import MODELS

jsonschema = pytest.importorskip("jsonschema")

# What only the loader can see: how the text is written, how values relate, and rules beyond type and range.
LOADER_ONLY = {
    "accuracy_of_a_regression",
    "branch_twice",
    "deterministic_by_the_clock",
    "enqueue_fixed_value",
    "enqueue_nothing",
    "enqueue_off_the_step",
    "enqueue_out_of_range",
    "enqueue_same_in_other_words",
    "enqueue_unknown_branch",
    "enqueue_with_grid",
    "even_kernel",
    "even_kernel_can_be_drawn",
    "family_for_another_task",
    "float_low_above_high",
    "formula_is_code",
    "formula_without_a_range",
    "images_for_a_table",
    "log_from_zero",
    "log_with_step",
    "low_above_high",
    "mean_iou_of_whole_images",
    "step_too_small",
    "table_that_is_not_there",
    "table_with_a_missing_value",
    "table_without_its_target",
    "unet_for_whole_images",
    "unknown_equation",
    "time_budget_zero",
}


def plain(node: Node | None) -> Any:
    """What a YAML reader without our marks would give."""
    if isinstance(node, MapNode):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    assert isinstance(node, ScalarNode)
    return node.value


@functools.cache
def validator() -> Any:
    return jsonschema.Draft202012Validator(json_schema())


def accepts(document: Any) -> bool:
    return bool(validator().is_valid(document))


def names_in(schema: Any, key: str) -> set[str]:
    """Every name of a union's members in the schema's definitions."""
    return {
        each["properties"][key]["const"]
        for each in schema["$defs"].values()
        if "const" in each["properties"].get(key, {})
    }


def names_of(union: Any, key: str = "name") -> set[str]:
    return {name for model in get_args(get_args(union)[0]) for name in get_args(model.model_fields[key].annotation)}


def test_it_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", [path for _, _, path in shipped_spaces()], ids=lambda path: path.stem)
def test_shipped_spaces_are_valid_in_both(path: Path) -> None:
    document = plain(compose(path.read_text(encoding="utf-8"), path.name, Issues()))
    validator().validate(document)


def readable() -> dict[str, Any]:
    """The bad files that are wrong in what they say, not in how it is written."""
    documents = {}
    for path in sorted((Path(__file__).parent / "bad_spaces").glob("*.yaml")):
        node = compose(path.read_text(encoding="latin-1"), path.name, issues := Issues())
        if node is not None and not issues.found:
            documents[path.stem] = plain(node)
    return documents


@pytest.mark.parametrize(("name", "document"), readable().items(), ids=readable())
def test_what_the_schema_refuses_and_what_is_left_to_the_loader(name: str, document: Any) -> None:
    assert accepts(document) == (name in LOADER_ONLY)


@pytest.mark.parametrize(
    "body",
    [
        "model: {depth: 4}",
        "model: {basis: gram}",
        "model: {basis: {choice: [none, {name: gram, degree: {int: [2, 4]}}]}}",
        "model: {choice: [{depth: 2}, {depth: {int: [3, 4]}}]}",
        "model: {width: {int: [4, 64], log: true}, dropout: {float: [0, 0.5], step: 0.1}}",
        "model: {bottleneck: {choice: [null, 2]}, affine: false, base_branch: {choice: [true, false]}}",
        "optimizer: {name: lbfgs, lr: {int: [1, 3]}}",
        "objectives: {validation_loss: minimize}",
        "constraints: {flops: 1e9, parameters: 100}",
        "search: {time_budget: 1h30m, gpus_per_trial: 0.5}",
        "search: {gpus_per_trial: auto}",
        "model: {depth: {int: [1, 4]}, basis: {choice: [none, gram]}}\nenqueue: [{model: {basis: gram}}]",
        "model: {depth: {int: [1, 4]}, dropout: {float: [0, 1e-1]}}\nenqueue: [{model: {dropout: 0}}]",
        "enqueue: []",
        "model: {preset: kanc-mlp-small-gs10, width: {int: [3, 9]}}",
        "model: {choice: [{preset: cnn-small}, {preset: cnn-big, hidden: 50}, {depth: 2}]}",
        "model: {preset: cnn-small, width: {int: [3, 9]}}\nenqueue: [{model: {preset: cnn-small}}]",
        "search: {time_budget: 90}",
        "search: {time_budget: null}",
    ],
)
def test_good_bodies_are_valid_in_both(body: str) -> None:
    text = f"study: s\ndata: {{dataset: digits}}\n{body}\n"
    parse_space(text, "f")
    assert accepts(plain(compose(text, "f", Issues())))


def test_its_names_are_the_models_names() -> None:
    schema = json_schema()
    assert names_in(schema, "name") == names_of(BasisConfig) | names_of(OptimizerConfig) | names_of(LossConfig)
    assert names_in(schema, "family") == names_of(ModelConfig, "family") == set(MODELS)
    plain = schema["$defs"]["PlainModelConfig.plain"]
    assert set(plain["properties"]) == set(PlainModelConfig.model_fields) and "required" not in plain
    own = {"study", "objectives", "constraints", "search", "enqueue"}
    assert set(schema["properties"]) == own | set(TrialConfig.model_fields)
    assert set(schema["$defs"]["EnqueuedTrialConfig"]["properties"]) == set(TrialConfig.model_fields)
    assert list(schema["$defs"]["SearchSettings"]["properties"]) == list(SearchSettings.model_fields)
    assert list(schema["$defs"]["Objectives"]["properties"]) == list(get_args(ObjectiveName))
    assert list(schema["$defs"]["Constraints"]["properties"]) == list(get_args(ConstraintName))
    assert names_in(schema, "dataset") == names_of(DatasetConfig, "dataset") == set(DATASETS)


def test_every_hyperparameter_is_described() -> None:
    definitions = json_schema()["$defs"]
    models = {title for title, each in definitions.items() if {"family", "dataset"} & each["properties"].keys()}
    assert len(models) >= len(MODELS)
    for title in {"RegularizationConfig", "SearchSettings"} | models:
        for name, each in definitions[title]["properties"].items():
            assert "const" in each or each.get("description"), f"{title}.{name}"


@pytest.mark.parametrize("basis", sorted(names_of(BasisConfig)))
def test_every_basis_is_accepted_by_name_in_both(basis: str) -> None:
    text = f"study: s\ndata: {{dataset: digits}}\nmodel: {{basis: '{basis}'}}\n"
    assert parse_space(text, "f").tree["model"] == {"family": "plain", "basis": {"name": basis}}
    assert accepts(plain(compose(text, "f", Issues())))


def test_an_unknown_preset_is_refused_by_both() -> None:
    text = "study: s\ndata: {dataset: digits}\nmodel: {preset: cnn-smal}\n"
    assert not accepts(plain(compose(text, "f", Issues())))
    with pytest.raises(SpaceError, match=r"model\.preset: unknown preset 'cnn-smal'; did you mean 'cnn-small'\?"):
        parse_space(text, "f")


def test_a_name_the_schema_does_not_know_is_refused_by_both() -> None:
    text = "study: s\ndata: {dataset: digits}\nmodel: {basis: fourrier}\n"
    assert not accepts(plain(compose(text, "f", Issues())))
    with pytest.raises(SpaceError):
        parse_space(text, "f")
