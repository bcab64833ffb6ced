"""Use the model that `notebook.py` leaves, as a function and as a torch module: seconds on a CPU."""

import sys
from pathlib import Path

import pandas
import torch
from sklearn.datasets import load_digits

from kansearch import load_model


def main(folder: Path) -> None:
    """Load the model below `folder`, classify all digits, and take its features for another task."""
    model = load_model(folder / "model")
    digits = load_digits()
    images = digits.images * (255 / 16)  # (N, 8, 8), from 0 to 255 as in training

    chances = model.probabilities(images)  # (N, 10)
    predicted = chances.argmax(1)
    print(pandas.crosstab(digits.target, predicted, rownames=["label"], colnames=["predicted"]))
    print(f"least certain: image {chances.max(1).argmin()}, {chances.max(1).min():.2f}")

    network = model.module.requires_grad_(False)  # samples (N, C, H, W) -> logits (N, 10)
    odd = torch.as_tensor(digits.target % 2)
    logits = network(torch.as_tensor(images[:, None], dtype=torch.float32))
    head = torch.nn.Linear(logits.shape[1], 2)  # odd or even, from the logits of a network that stays as it is
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(logits), odd).backward()
        optimizer.step()
    print(f"odd or even: {(head(logits).argmax(1) == odd).float().mean():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
