"""What the host spends on an eager step of the `triton` backend, and how many kernels it launches.

    python benchmarks/launches.py

On a GPU, the time until the last launch is made; without one, the same with a device in the place
of Triton's that launches nothing, and torch's own operations on the CPU: on matrices so small that
their arithmetic hardly counts.
"""

import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

import edgelinear as el
from edgelinear.backends import triton as backend

CALLS, ROUNDS = 200, 15
INPUTS, OUTPUTS, EDGES, BATCH = 64, 64, 476, 16
SMALL = {"small": backend._SMALL, "as if large": 0}  # products up to which nothing is copied


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    launched: Counter = Counter()
    if device == "cpu":
        use_nothing(launched)
    else:
        count_launches(launched)
    topology = el.generators.erdos_renyi(INPUTS, OUTPUTS, num_edges=EDGES).to(device)
    ours = el.EdgeLinear.from_topology(topology, backend="triton", device=device)
    dense = torch.nn.Linear(INPUTS, OUTPUTS, device=device)
    x = torch.randn(BATCH, INPUTS, device=device)
    print(torch.cuda.get_device_name() if device == "cuda" else "nothing is launched")
    for size, small in SMALL.items():
        backend._SMALL = small
        for name, layer in (("edgelinear", ours), ("nn.Linear", dense)):
            step = step_of(layer, x)
            step()
            launched.clear()
            step()
            kernels = ", ".join(f"{count} {kernel}" for kernel, count in launched.items())
            print(f"{size:12} {name:12} {1e6 * host_seconds(step):6.1f} us  {kernels}", flush=True)


def step_of(layer: torch.nn.Module, x: torch.Tensor) -> Callable:
    x = x.clone().requires_grad_()
    leaves = [x, *layer.parameters()]
    grad = torch.ones_like(layer(x))
    return lambda: torch.autograd.grad(layer(x), leaves, grad)


def host_seconds(call: Callable) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - begin) / CALLS)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return best


def count_launches(launched: Counter) -> None:
    launch = backend._launch

    def counted(kinds: tuple, *arguments: Any) -> None:
        launched[kinds[0]] += 1
        launch(kinds, *arguments)

    backend._launch = counted


def use_nothing(launched: Counter) -> None:
    """Have Triton compile for a device that is not there, and launch nothing."""
    import triton
    from triton.backends.compiler import GPUTarget

    class Launcher:
        def __init__(self, src: Any, metadata: Any) -> None:
            self.name = src.fn.__name__

        def __call__(self, *arguments: Any) -> None:
            launched[self.name] += 1

    driver = SimpleNamespace(
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
        launcher_cls=Launcher,
        utils=SimpleNamespace(
            load_binary=lambda *_: (object(), 0, 0, 0, 1024),
            get_device_properties=lambda device: {"max_shared_mem": 232448},
            unload_module=lambda module: None,
        ),
    )
    triton.runtime.driver.set_active(driver)
    backend.why_not = lambda *_: None  # type: ignore[assignment]


if __name__ == "__main__":
    main()
