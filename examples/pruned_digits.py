"""Make a pruned model small: train densely, prune, convert, fine-tune on the edges that are left.

    python examples/pruned_digits.py [--epochs 20] [--amount 0.95]

Data: the handwritten digits that scikit-learn ships (UCI, 1,797 images of 8 x 8).
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils import prune

import edgelinear as el


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--amount", type=float, default=0.95, help="fraction of weights to prune")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    train, test = digits()

    dense = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    fit(dense, train, arguments.epochs)
    report("dense", dense, test)

    prune.l1_unstructured(dense[0], "weight", amount=arguments.amount)
    report("dense, pruned", dense, test)

    sparse = nn.Sequential(el.EdgeLinear.from_linear(dense[0]), nn.ReLU(), dense[2])
    difference = (sparse(test[0]) - dense(test[0])).abs().max().item()
    report(f"converted (differs by {difference:.0e})", sparse, test)
    assert difference < 1e-4

    fit(sparse, train, arguments.epochs)
    report("converted, fine-tuned", sparse, test)


def digits() -> tuple[tuple, tuple]:
    """Return ((x, y), (x, y)): 1,437 images to train on and 360 to test on."""
    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32) / 16
    y = torch.tensor(data.target)
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    return (x[:1437], y[:1437]), (x[1437:], y[1437:])


def fit(model: nn.Module, data: tuple, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x, y = data
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()


def report(name: str, model: nn.Module, data: tuple) -> None:
    x, y = data
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    first = model[0]
    weights = first.num_edges if isinstance(first, el.EdgeLinear) else first.weight.numel()
    print(f"{name:32} {weights:6} weights in the first layer, accuracy {accuracy:.1%}")


if __name__ == "__main__":
    main()
