"""What is said of a trained network's functions is what its layers compute; the pictures are drawn of every basis."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from kansearch.errors import InputError, KansearchError
from kansearch.report.functions import draw_layers
from kansearch.report.graph import draw_graph, fits_graph
from kansearch.report.inspection import inspect
from tests.commandline import Command, kansearch_fixture
from trials.config import ModelConfig, PlainModelConfig, TrialConfig
from trials.data.shape import DataShape
from trials.kan import BASES
from trials.kan.layer import KANLayer
from trials.models import build_model, build_network
from trials.saved.inspection import LearnedLayer, inspect_network

__all__ = ["kansearch_fixture"]


def layers_of(images: torch.Tensor, **fields: Any) -> tuple[torch.nn.Module, list[LearnedLayer]]:
    """A small network of moved weights, and what is found in it."""
    torch.manual_seed(0)
    config: ModelConfig = PlainModelConfig.model_validate({"depth": 2, "width": 4, "halvings": 1, **fields})
    initial = build_model(config, DataShape(2, (8, 8), 3)).eval()
    network = copy.deepcopy(initial)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network, inspect_network(network, initial, images)


IMAGES = torch.randn(40, 2, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("basis", sorted(BASES))
def test_the_functions_of_a_linear_layer_sum_up_to_what_it_computes(basis: str) -> None:
    network, layers = layers_of(IMAGES, basis={"name": basis}, classifier="kan", spline_scaler=True)
    layer = dict(network.named_modules())[layers[-1].name]
    assert isinstance(layer, KANLayer) and layer.bias is not None and layers[-1].basis == basis
    found = layers[-1]
    outputs, inputs, entries = found.importance.shape
    assert entries == 1 and found.kernel == ()
    point = 17
    z = torch.full((1, inputs), float(found.z[point]))
    edges = np.indices((outputs, inputs)).reshape(2, -1)
    values = found.functions((*edges, np.zeros_like(edges[0])))[:, point].reshape(outputs, inputs).sum(1)
    np.testing.assert_allclose(values, (layer(z)[0] - layer.bias).detach(), atol=1e-4)


def test_importance_is_the_deviation_of_an_edges_function_over_what_its_channel_has_seen() -> None:
    network, layers = layers_of(IMAGES, basis={"name": "rbf"}, normalization="none")
    first = layers[0]
    layer = network.get_submodule(first.name)
    assert isinstance(layer, KANLayer)
    assert set(first.seen[:, 1].astype(np.float32)) <= set(IMAGES[:, 1].ravel().tolist()) and len(first.seen) == 2048
    z = torch.from_numpy(first.seen[:, 1])
    planes = torch.cat([layer.double().basis.expand(z), torch.nn.functional.silu(z)[:, None]], dim=1)
    weight = layer.edge_weights()[3, 1, :, 2, 0].detach()  # output 3, input 1, row 2, column 0
    assert first.importance[3, 1, 6] == pytest.approx(float((planes.detach() @ weight).std(correction=0)), rel=1e-4)
    assert first.outside == pytest.approx(float((np.abs(first.seen) > 2.0).mean()))


def test_the_initial_functions_are_those_before_training() -> None:
    _, (first, *_) = layers_of(IMAGES, basis={"name": "wavelet"})
    edges = ([0], [0], [0])
    assert not np.allclose(first.functions(edges), first.functions(edges, initial=True))
    torch.manual_seed(0)
    config: ModelConfig = PlainModelConfig.model_validate({"depth": 2, "width": 4, "basis": {"name": "wavelet"}})
    untrained = build_model(config, DataShape(2, (8, 8), 3))
    (same, *_) = inspect_network(untrained, copy.deepcopy(untrained), IMAGES)
    np.testing.assert_array_equal(same.functions(edges), same.functions(edges, initial=True))


def test_signs_and_prunable_edges() -> None:
    _, (first, *_) = layers_of(IMAGES, basis={"name": "bspline"})
    outputs, inputs, entries = np.indices(first.signs.shape).reshape(3, -1)
    low, high = (np.abs(first.z - end).argmin() for end in (-1, 1))
    values = first.functions((outputs, inputs, entries))
    rising = (values[:, high] - values[:, low]).reshape(first.signs.shape)
    clear = np.abs(rising) > 0.1
    assert clear.sum() > 20 and (first.signs[clear] == np.sign(rising[clear])).all()
    variance = np.square(first.importance)
    assert variance[first.prunable].sum() <= 0.01 * variance.sum()
    assert variance[first.prunable].max(initial=0) <= variance[~first.prunable].min()


@pytest.mark.parametrize("fields", [{"experts": 2, "experts_per_image": 1}, {"bottleneck": 2}, {"base_branch": False}])
def test_every_layer_of_a_network_is_found(fields: dict[str, Any]) -> None:
    network, layers = layers_of(IMAGES, basis={"name": "gram"}, classifier="kan", **fields)
    assert [each.name for each in layers] == [n for n, m in network.named_modules() if isinstance(m, KANLayer)]
    assert all(np.isfinite(each.importance).all() and each.importance.max() > 0 for each in layers)
    assert layers[0].grid is None and layers[0].outside is None


def test_the_pictures_hold_something_and_the_tables_agree_with_the_layers(tmp_path: Path) -> None:
    _, layers = layers_of(IMAGES, basis={"name": "bspline"}, classifier="kan")
    summaries = draw_layers([layers[0], layers[-1]], tmp_path)
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 1 + 2 * 4
    for picture in pictures:
        pixels = matplotlib.image.imread(picture)
        assert (pixels[..., :3].min(2) < 0.9).mean() > 0.005, picture
    assert json.loads((tmp_path / "layers.json").read_text()) == summaries
    with (tmp_path / "edges.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(each["edges"] for each in summaries)
    first = [row for row in rows if row["layer"] == layers[0].name]
    best = first[0]
    row, column = map(int, best["kernel"].split())
    edge = (int(best["output"]), int(best["input"]), 3 * row + column)
    assert layers[0].importance[edge] == layers[0].importance.max() and int(best["sign"]) == layers[0].signs[edge]
    assert sum(int(row["prunable"]) for row in first) == layers[0].prunable.sum()


def folder_of(tmp_path: Path, basis: str) -> Path:
    """As `kansearch retrain` leaves it."""
    config = TrialConfig.model_validate(
        {"data": {"dataset": "digits"}, "model": {"depth": 1, "width": 2, "basis": {"name": basis}}}
    )
    (tmp_path / "seed-3").mkdir()
    (tmp_path / "config.yaml").write_text(json.dumps({"config": config.model_dump(mode="json")}))
    torch.manual_seed(3)
    save_file(build_network(config).state_dict(), tmp_path / "seed-3/model.safetensors")
    return tmp_path


def test_a_retrained_model_is_inspected_from_its_folder(kansearch: Command, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "gram")
    done = kansearch("inspect", folder, "-o", tmp_path / "pictures")
    assert done.code == 0, done.err
    assert "blocks.0.1" in done.out and "gram" in done.out
    assert (tmp_path / "pictures/01-blocks.0.1-functions.png").stat().st_size > 5000


def test_what_cannot_be_inspected_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained model there"):
        inspect(tmp_path, tmp_path / "pictures")
    folder = folder_of(tmp_path, "none")
    with pytest.raises(InputError, match="without a KAN layer"):
        inspect(folder, tmp_path / "pictures")
    weights = folder / "seed-3/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(KansearchError, match=r"model\.safetensors: not a readable file of weights"):
        inspect(folder, tmp_path / "pictures")
    save_file({"blocks.weight": torch.zeros(2)}, weights)
    with pytest.raises(KansearchError, match="weights of another network"):
        inspect(folder, tmp_path / "pictures")


def network_of_rows(**fields: Any) -> list[LearnedLayer]:
    shape = DataShape(3, (), 1, regression=True)
    config: ModelConfig = TypeAdapter(ModelConfig).validate_python({"family": "mlp", **fields})
    torch.manual_seed(0)
    network = build_model(config, shape).double().eval()
    rows = torch.randn(60, 3, dtype=torch.float64)
    return inspect_network(network, copy.deepcopy(network), rows)


def test_a_small_network_of_rows_is_drawn_as_its_graph(tmp_path: Path) -> None:
    layers = network_of_rows(widths=[3, 2], multiply=1)
    assert [layer.importance.shape[:2] for layer in layers] == [(4, 3), (3, 3), (1, 2)]
    assert fits_graph(layers, 1)
    draw_graph(layers, ["age", "height", "city=Rome"], ["pay"], tmp_path / "graph.png")
    picture = matplotlib.image.imread(tmp_path / "graph.png")
    assert picture.shape[0] == 780 and (picture[..., :3].min(2) < 0.9).mean() > 0.02


def test_other_networks_have_no_graph() -> None:
    assert not fits_graph(network_of_rows(widths=[20], multiply=0), 1), "too many edges to be read"
    assert not fits_graph(layers_of(IMAGES, basis={"name": "bspline"}, classifier="kan")[1], 3), "convolutions"
