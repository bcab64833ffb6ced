"""KAN layers in a PyTorch model of one's own, without a search: seconds on a CPU."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from trials.kan import BASES, Basis, KANConv2d, KANLinear


def network(basis: Basis | str) -> nn.Module:
    """Images (N, 1, 8, 8) -> logits (N, 10)."""
    return nn.Sequential(
        KANConv2d(1, 8, kernel_size=3, padding=1, basis=basis),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(8),
        KANConv2d(8, 16, kernel_size=3, padding=1, basis="gram"),  # a name means its default sizes
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        KANLinear(16, 10, basis="gram"),
    )


def train(model: nn.Module, epochs: int = 8) -> float:
    """Train on scikit-learn's digits; return the accuracy on 360 of them that were held out."""
    digits = load_digits()
    images = torch.as_tensor(digits.images[:, None] / 8 - 1, dtype=torch.float32)  # (N, 1, 8, 8), in [-1, 1]
    labels = torch.as_tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    held_out, training = order[:360], order[360:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(epochs):
        model.train()
        for batch in training[torch.randperm(len(training))].split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return (model(images[held_out]).argmax(1) == labels[held_out]).float().mean().item()


def main() -> None:
    """Train one network, then refine the grid of its splines and train on."""
    torch.manual_seed(0)
    model = network(BASES["bspline"](grid_size=4))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, accuracy {train(model):.3f}")
    model[0].refine()  # 4 -> 8 intervals, the same function inside the grid
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, accuracy {train(model, epochs=2):.3f}")


if __name__ == "__main__":
    main()
