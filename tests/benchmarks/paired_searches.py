"""Plain networks against KANs, with searches as the sample: the study of docs/protocol.md.

python -m tests.benchmarks.paired_searches folds FOLDS
python -m tests.benchmarks.paired_searches search RECORDS --folds FOLDS [--gpus 2] [--minutes 9]    until all are there
python -m tests.benchmarks.paired_searches test RECORDS --folds FOLDS                               once all have chosen
python -m tests.benchmarks.paired_searches table RECORDS

A search is `kansearch launch` of paired_searches.yaml. RECORDS/searches.jsonl has a line for each, and
RECORDS/tests.jsonl one for each network that was tested. No test image is looked at before every search of its bound is
in the first file.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import yaml

from kansearch import Study, load_model, load_space
from tests.benchmarks.paired_statistics import Difference, bootstrap_interval, difference, holm
from tests.benchmarks.side_by_side import parse_lines

__all__ = ["CAPS", "PAIRS", "Search", "chosen", "fold_indices", "running_best", "searches"]

SPACE = Path(__file__).with_suffix(".yaml")
CAPS = (1_540, 3_020, 6_930, 63_010)
PAIRS, CONTROL_PAIRS, SEEDS = 7, 4, 3
CONTROLS = ("spline_activation", "power_mlp")
_FILES = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


class Search(NamedTuple):
    """One search of the study."""

    pair: int
    cap: int
    arm: str

    @property
    def study(self) -> str:
        """Its study's name."""
        return f"paired-{self.cap}-{self.pair}-{self.arm}"


def searches(caps: Sequence[int] = CAPS) -> list[Search]:
    """All searches, pair by pair: what is done when time ends are whole pairs."""
    found = []
    for pair, cap in product(range(PAIRS), caps):
        arms = ("plain", "kan", "control") if pair < CONTROL_PAIRS else ("plain", "kan")
        found += [Search(pair, cap, arm) for arm in (arms if pair % 2 == 0 else arms[::-1])]
    return found


# -- data ------------------------------------------------------------------------------------------------------------


def fold_indices(labels: np.ndarray[Any, Any], folds: int = PAIRS, seed: int = 2027) -> list[np.ndarray[Any, Any]]:
    """Split samples into folds with the same classes each: the indices of each fold, shuffled."""
    rng = np.random.default_rng(seed)
    parts: list[list[Any]] = [[] for _ in range(folds)]
    for label in np.unique(labels):
        for fold, part in enumerate(np.array_split(rng.permutation(np.flatnonzero(labels == label)), folds)):
            parts[fold].append(part)
    return [rng.permutation(np.concatenate(part)) for part in parts]


def write_folds(source: Path, out: Path, images: int | None) -> None:
    """Write a folder for each fold: arrays/train.npz of the other folds, arrays/test.npz of its own."""
    read = {name: _idx(source / f"{name}.gz") for name in _FILES}
    x = np.concatenate([read[_FILES[0]], read[_FILES[2]]])[:images]
    y = np.concatenate([read[_FILES[1]], read[_FILES[3]]])[:images].astype(np.int64)
    folds = fold_indices(y)
    for number, test in enumerate(folds):
        folder = out / f"fold-{number}" / "arrays"
        folder.mkdir(parents=True, exist_ok=True)
        training = np.concatenate([fold for other, fold in enumerate(folds) if other != number])
        np.savez(folder / "train.npz", x=x[training], y=y[training])
        np.savez(folder / "test.npz", x=x[test], y=y[test])


def _idx(path: Path) -> np.ndarray[Any, Any]:
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


# -- searches --------------------------------------------------------------------------------------------------------


def arm_settings(arm: str) -> list[str]:
    """The bases that an arm has, as settings of the space."""
    bases = yaml.safe_load(SPACE.read_text())["model"]["basis"]["choice"]
    kind = {str(each if isinstance(each, str) else each["name"]): each for each in bases}
    names = {
        "plain": ["none"],
        "control": list(CONTROLS),
        "kan": [name for name in kind if name not in ("none", *CONTROLS)],
    }[arm]
    return ["--set", f"model.basis={json.dumps({'choice': [kind[name] for name in names]})}"]


def run_search(search: Search, given: argparse.Namespace, gpu: str | None) -> dict[str, Any]:
    """Launch a search, or resume one that was interrupted; the row of RECORDS/searches.jsonl."""
    home = given.home.absolute()
    begun = (home / search.study / "study.json").exists()
    settings = [
        *("--study", search.study, "--seed", str(search.pair), "--set", f"constraints.parameters={search.cap}"),
        *arm_settings(search.arm),
        *(word for each in given.set for word in ("--set", each)),
    ]
    command = ["resume", search.study] if begun else ["launch", str(SPACE), *settings]
    options = ["--home", str(home), "--data-dir", str(given.folds.absolute() / f"fold-{search.pair}")]
    environment = os.environ | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "kansearch", *command, *options], env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"{search.study}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return search._asdict() | {"wall_seconds": time.monotonic() - began} | summary(Study(search.study, home))


def summary(study: Study) -> dict[str, Any]:
    """Count a study's trials, and keep each complete trial that was the best so far, with its configuration."""
    frame = study.trials()
    best = []
    for number in running_best(frame["accuracy"].where(frame["state"] == "complete").tolist()):
        with tempfile.TemporaryDirectory() as folder:
            study.export(Path(folder) / "one.yaml", number)
            best.append({"number": number, "export": (Path(folder) / "one.yaml").read_text()})
    rows = frame[["state", "epochs", "seconds", "accuracy", "parameters"]].itertuples(name=None)
    return {"trials": [[each if each == each else None for each in row] for row in rows], "best": best}


def running_best(accuracies: Sequence[float]) -> list[int]:
    """Find the trials that were better than all before them; NaN: not complete."""
    found: list[int] = []
    for number, accuracy in enumerate(accuracies):
        if accuracy == accuracy and (not found or accuracy > accuracies[found[-1]]):
            found.append(number)
    return found


# -- choices ---------------------------------------------------------------------------------------------------------


def chosen(rows: Mapping[str, Mapping[str, Any]], equal: str) -> dict[str, int]:
    """Choose each arm's network: the best on validation images among its first trials, as many as make efforts equal.

    Args:
        rows: of one pair and bound, by arm.
        equal: `complete`, as many complete trials; or `seconds`, as many device-seconds.

    Returns:
        The trial's number by arm.
    """
    least = min(_efforts(row, equal)[-1] for row in rows.values())
    found = {}
    for arm, row in rows.items():
        within = [at for at, effort in enumerate(_efforts(row, equal)) if effort <= least]
        complete = [at for at in within if row["trials"][at][1] == "complete"]
        if not complete:
            raise ValueError(f"{arm}: no complete trial within equal {equal}")
        found[arm] = max(complete, key=lambda at: (row["trials"][at][4], -at))
    return found


def _efforts(row: Mapping[str, Any], equal: str) -> list[float]:
    """The effort of a search up to each trial, itself included."""
    states, seconds = zip(*((each[1], each[3] or 0.0) for each in row["trials"]), strict=True)
    return list(np.cumsum([state == "complete" for state in states] if equal == "complete" else seconds))


def _by_pair(rows: Sequence[Mapping[str, Any]], cap: int) -> dict[int, dict[str, Mapping[str, Any]]]:
    found: dict[int, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row["cap"] == cap:
            found.setdefault(row["pair"], {})[row["arm"]] = row
    return found


# -- tests -----------------------------------------------------------------------------------------------------------


def run_tests(given: argparse.Namespace) -> None:
    """Retrain and test the networks that were chosen, for each bound whose searches are all there."""
    rows = parse_lines(given.records / "searches.jsonl")
    done = {(row["cap"], row["pair"], row["arm"], row["number"]) for row in parse_lines(given.records / "tests.jsonl")}
    for cap in given.caps:
        missing = set(searches([cap])) - {Search(row["pair"], row["cap"], row["arm"]) for row in rows}
        if missing:
            print(f"{cap}: {len(missing)} searches are missing, so no test image is looked at")
            continue
        for pair, arms in _by_pair(rows, cap).items():
            for arm, number in _wanted(arms):
                if (cap, pair, arm, number) not in done:
                    _append(given.records / "tests.jsonl", _tested(given, arms[arm], number))


def _wanted(arms: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, int]]:
    both = {arm: arms[arm] for arm in ("plain", "kan")}
    found = {(arm, number) for equal in ("complete", "seconds") for arm, number in chosen(both, equal).items()}
    if "control" in arms:
        for equal in ("complete", "seconds"):
            found |= set(chosen({name: arms[name] for name in ("plain", "control")}, equal).items())
    return sorted(found)


def _tested(given: argparse.Namespace, row: Mapping[str, Any], number: int) -> dict[str, Any]:
    (export,) = [each["export"] for each in row["best"] if each["number"] == number]
    fold = given.folds.absolute() / f"fold-{row['pair']}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(_reseeded(export))
        words = ["retrain", "config.yaml", "-o", "model", "--seeds", str(SEEDS), "--home", "studies"]
        command = [sys.executable, "-m", "kansearch", *words, "--data-dir", str(fold)]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with np.load(fold / "arrays" / "test.npz") as test:
            x, y = test["x"], test["y"]
        right = [load_model(each).predict(x, batch=1000) == y for each in sorted((folder / "model").glob("seed-*"))]
    keys = ("cap", "pair", "arm")
    packed = base64.b64encode(np.packbits(np.array(right), axis=1).tobytes()).decode()
    return {key: row[key] for key in keys} | {"number": number, "images": len(y), "seeds": SEEDS, "right": packed}


def _reseeded(export: str) -> str:
    """The configuration with seeds that its search never used."""
    document = yaml.safe_load(export)
    document["config"]["seed"] = 1_000
    return yaml.safe_dump(document)


# -- table -----------------------------------------------------------------------------------------------------------


def table(records: Path) -> Iterator[str]:
    """Yield the lines of the study's tables, for the bounds that are tested."""
    rows, tests = parse_lines(records / "searches.jsonl"), parse_lines(records / "tests.jsonl")
    right = {(each["cap"], each["pair"], each["arm"], each["number"]): _right(each) for each in tests}
    for arm, equal in (("kan", "complete"), ("kan", "seconds"), ("control", "complete"), ("control", "seconds")):
        found = [(cap, pairs) for cap in CAPS if (pairs := _pairs(_by_pair(rows, cap), right, cap, arm, equal))]
        results = [difference([float(a.mean() - b.mean()) for a, b in pairs]) for _, pairs in found if len(pairs) > 1]
        yield f"\n{arm} against plain, equal {equal}\n"
        yield "| at most | pairs | plain | " + arm + " | difference | 95 % | bootstrap | p (Holm) |"
        yield "|---|---|---|---|---|---|---|---|"
        adjusted = holm([each.p for each in results])
        for (cap, pairs), result, p in zip(found, results, adjusted, strict=True):
            yield _row(cap, pairs, result, p)


def _row(cap: int, pairs: Sequence[tuple[Any, Any]], result: Difference, p: float) -> str:
    ours, plain = (100 * float(np.mean([each[at].mean() for each in pairs])) for at in (0, 1))
    low, high = (100 * each for each in bootstrap_interval(pairs))
    interval = f"{100 * result.low:+.2f} to {100 * result.high:+.2f}"
    return (
        f"| {cap:,} | {result.pairs} | {plain:.2f} | {ours:.2f} | {100 * result.mean:+.2f} | {interval} | "
        f"{low:+.2f} to {high:+.2f} | {p:.3f} |"
    )


def _pairs(
    by_pair: Mapping[int, Mapping[str, Mapping[str, Any]]], right: Mapping[Any, Any], cap: int, arm: str, equal: str
) -> list[tuple[Any, Any]]:
    found = []
    for pair, arms in sorted(by_pair.items()):
        if arm in arms and "plain" in arms:
            picks = chosen({name: arms[name] for name in ("plain", arm)}, equal)
            keys = [(cap, pair, name, picks[name]) for name in (arm, "plain")]
            if all(key in right for key in keys):
                found.append((right[keys[0]], right[keys[1]]))
    return found


def _right(row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    bits = np.frombuffer(base64.b64decode(row["right"]), np.uint8).reshape(row["seeds"], -1)
    return np.unpackbits(bits, axis=1, count=row["images"]).astype(bool)


# -- command ---------------------------------------------------------------------------------------------------------


def _append(path: Path, row: Mapping[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(f"{row['cap']} pair {row['pair']} {row['arm']}: done", flush=True)


def run_searches(given: argparse.Namespace) -> None:
    """Launch what is left, one search a GPU at a time, until the minutes are over."""
    load_space(SPACE)
    rows = parse_lines(given.records / "searches.jsonl")
    left = [each for each in searches(given.caps) if each not in {Search(r["pair"], r["cap"], r["arm"]) for r in rows}]
    gpus: SimpleQueue[str | None] = SimpleQueue()
    for gpu in map(str, range(given.gpus)) if given.gpus else [None]:
        gpus.put(gpu)
    end = time.monotonic() + 60 * given.minutes

    def one(search: Search) -> None:
        if time.monotonic() < end:
            gpu = gpus.get()
            try:
                _append(given.records / "searches.jsonl", run_search(search, given, gpu))
            finally:
                gpus.put(gpu)

    with ThreadPoolExecutor(max(1, given.gpus)) as pool:
        for done in [pool.submit(one, search) for search in left]:
            done.result()


def main() -> None:
    """Run a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["folds", "search", "test", "table"])
    parser.add_argument("records", type=Path, help="folder of the records, or of the folds")
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--home", type=Path, default=Path("studies"))
    parser.add_argument("--gpus", type=int, default=0, help="searches at a time, each on its GPU; 0: one")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after so long no search is started")
    parser.add_argument("--caps", type=int, nargs="+", default=list(CAPS))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="to try the script out")
    parser.add_argument("--images", type=int, help="of all, to try the script out")
    given = parser.parse_args()
    given.records.mkdir(parents=True, exist_ok=True)
    if given.step == "folds":
        write_folds(given.source, given.records, given.images)
    elif given.step == "search":
        run_searches(given)
    elif given.step == "test":
        run_tests(given)
    else:
        print("\n".join(table(given.records)))


if __name__ == "__main__":
    main()
