"""How do I connect only *these* neurons? Four answers to one question, and that they agree.

Hidden neurons 0-1 feed output 0, neurons 2-3 output 1, neurons 4-5 output 2
(https://stackoverflow.com/questions/72725944).

    python examples/custom_connections.py
"""

import torch

import edgelinear as el


def main() -> None:
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2]])
    edges = el.EdgeLinear(6, 3, edge_index)
    masked = edges.to_masked_linear()
    local = el.baselines.LocalLinear(6, 3, kernel_size=2)
    grouped = el.baselines.GroupedLinear(6, groups=3)
    with torch.no_grad():
        for layer in (local, grouped):
            layer.bias.copy_(edges.bias)
        local.weight.copy_(masked.weight)
        grouped.weight.copy_(edges.weight.view(3, 2))

    x = torch.randn(4, 6)
    for layer in (edges, masked, local, grouped):
        parameters = sum(p.numel() for p in layer.parameters())
        error = (layer(x) - edges(x)).abs().max().item()
        name = type(layer).__name__
        print(f"{name:14} {parameters:3} parameters, differs from EdgeLinear by {error:.1e}")
        assert error < 1e-6


if __name__ == "__main__":
    main()
