"""`python -m tests.chaos --kills 100 --storage sqlite|postgresql --seed 0`: one chaos run by hand, and its figures."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.chaos.search import Figures, Place, chaos
from tests.postgres import PostgresServer


def main() -> int:
    """Exit code 0 when nothing was lost, repeated or left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--storage", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="kill for no longer than this")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kc-"))
    folder.chmod(0o711)
    figures = _run(folder, options)
    print(json.dumps({"storage": options.storage, "seed": options.seed, **asdict(figures)}, indent=2))
    if figures.faults:
        print(f"faults: {', '.join(figures.faults)}; the study is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def _run(folder: Path, options: argparse.Namespace) -> Figures:
    def told(figures: Figures) -> bool:
        kills = f"{figures.driver_kills} kills of drivers, {figures.worker_kills} of workers"
        print(f"{figures.seconds:.0f} s: {kills}", file=sys.stderr, flush=True)
        return figures.seconds < 60 * options.minutes

    if options.storage == "sqlite":
        return chaos(Place(folder), options.kills, options.seed, told)
    server = PostgresServer(folder / "server")
    try:
        place = Place(folder, server.database("study"), server.database("mlflow"))
        return chaos(place, options.kills, options.seed, told)
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
