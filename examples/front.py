"""Read the study that `notebook.py` leaves as pandas frames, and draw its front: seconds on a CPU."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from kansearch import Study


def main(folder: Path) -> None:
    """Read the study below `folder`, and write front.png and front.csv there."""
    study = Study("notebook", folder / "studies")
    trials, front = study.trials(), study.front()
    complete = trials[trials["state"] == "complete"]
    best = complete.groupby("model.basis")["accuracy"].max().sort_values(ascending=False)
    print("best accuracy of each basis:", best.round(3).to_dict())

    axes = complete.plot.scatter("parameters", "accuracy", color="lightgrey", logx=True)
    axes.step(front["parameters"], front["accuracy"], where="post", marker="o")
    for number, trial in front.iterrows():
        axes.annotate(f"  {number}", (trial["parameters"], trial["accuracy"]), va="top")
    plt.savefig(folder / "front.png", dpi=120)
    front.to_csv(folder / "front.csv")
    print(f"{len(front)} of {len(complete)} complete trials are on the front")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
