"""A basis of one's own, without a change of kansearch: seconds on a CPU. docs/extending.md puts one into a search."""

import torch
from layer import network, train
from torch import Tensor

from trials.kan import Basis


class Steps(Basis):
    """tanh((z - c_j)/h): smooth steps at the middles c_j of G intervals of width h on [-2, 2].

    `features` is all that a basis needs. First weights, gradients and the layout in memory come from `Basis`.
    """

    centres: Tensor

    def __init__(self, grid_size: int = 6) -> None:
        super().__init__()
        self.n_features, self.width = grid_size, 4 / grid_size
        self.register_buffer("centres", (torch.arange(grid_size) + 0.5) * self.width - 2)

    def features(self, u: Tensor) -> Tensor:
        """(A, 1, B) -> (A, F, B)."""
        return ((u - self.centres.to(u.dtype)[:, None]) / self.width).tanh()


def main() -> None:
    """Look at the basis as the layers do, then train a network of it."""
    torch.manual_seed(0)
    basis = Steps()
    mean, variance = basis.moments()  # of each function of z ~ N(0, 1): the first weights are made of them
    print("means", mean.numpy().round(2), "variances", variance.numpy().round(2))
    print(f"accuracy {train(network(basis)):.3f}")


if __name__ == "__main__":
    main()
