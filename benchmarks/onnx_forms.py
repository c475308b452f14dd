"""Time the forms that a layer can take in an ONNX file, in onnxruntime on one thread.

    python benchmarks/onnx_forms.py [--only NAME ...] [--calls 30]

Each file is held to float64 first; forms take turns, and what is printed is the least time, as a
busy machine only adds to it. "exported" is what `torch.onnx.export` writes of a layer, for batches
of any size and for one; "dense" is `layer.to_linear()`. The others are written by hand: "numbers"
gathers and scatters number by number, "rows" whole rows of the transposed input, and "sparse" is
the kernel of onnxruntime for sparse matrices, which no file can hold: each call is given it.
Memory is what a session and a few calls add to the peak of a process of their own.

Measured with onnxruntime 1.32 on two cores of an Intel Xeon that others used too: milliseconds, and
in brackets the MiB of the file and those of memory.

| workload | exported | exported fixed | dense | numbers | rows | sparse |
|---|---:|---:|---:|---:|---:|---:|
| tiny, batch 1 | 0.032 (0.03, 9) | 0.011 | 0.006 (0.02, 9) | 0.011 (0.01, 9) | 0.014 | 0.046 |
| tiny, batch 32 | 0.034 (0.03, 10) | 0.031 | 0.009 (0.02, 9) | 0.077 (0.01, 10) | 0.024 | 0.057 |
| pnet, batch 1 | 0.497 (0.25, 10) | 0.127 | 2.35 (49, 107) | 0.207 (0.3, 10) | 0.249 | 0.248 |
| pnet, batch 50 | 0.941 (0.25, 17) | 0.858 | 42.0 (49, 107) | 9.35 (0.3, 39) | 1.28 | 1.00 |
| square 2 %, batch 1 | 1.41 (1.1, 13) | 0.277 | 0.849 (16, 41) | 0.639 (1.6, 13) | 1.15 | 0.529 |
| square 2 %, batch 64 | 2.05 (1.1, 18) | 1.99 | 18.0 (16, 41) | 324 (1.6, 160) | 22.1 | 413 |
| square 2 %, batch 512 | 61.0 (1.1, 55) | 44.1 | 121 (16, 41) | 1550 (1.6, 1363) | 133 | 1900 |
| square 10 %, batch 64 | 15.6 (5.4, 34) | 15.7 | 10.2 (16, 41) | 826 (8.0, 973) | 60.6 | 946 |
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import wirings
from onnx import TensorProto, helper, numpy_helper
from problem import Problem
from workloads import uniform

import edgelinear as el

FLOAT, INT = TensorProto.FLOAT, np.int64
ROWS: list[tuple[str, Callable[[], el.Topology], int]] = [
    ("tiny", uniform(64, 64, 476), 1),
    ("tiny", uniform(64, 64, 476), 32),
    ("pnet", wirings.pnet, 1),
    ("pnet", wirings.pnet, 50),
    ("square 2 %", uniform(2048, 2048, 83_886), 1),
    ("square 2 %", uniform(2048, 2048, 83_886), 64),
    ("square 2 %", uniform(2048, 2048, 83_886), 512),
    ("square 10 %", uniform(2048, 2048, 419_430), 64),
]
TOLERANCE = 1e-5  # of the largest true value


def exported(layer: torch.nn.Module, x: torch.Tensor, path: Path, dynamic: bool) -> None:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.onnx.export(layer, (x,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)


def by_hand(problem: Problem, path: Path, nodes: list, arrays: dict, sparse: bool = False) -> None:
    topology = problem.topology
    inputs = [helper.make_tensor_value_info("x", FLOAT, ["batch", topology.in_features])]
    if sparse:
        sizes = [topology.out_features, topology.in_features]
        matrix = helper.make_sparse_tensor_type_proto(FLOAT, sizes)
        inputs.append(helper.make_value_info("matrix", matrix))
    output = helper.make_tensor_value_info("y", FLOAT, ["batch", topology.out_features])
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "layer", inputs, [output], constants)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.save(model, path)


def by_numbers(problem: Problem, path: Path) -> None:
    topology, node = problem.topology, helper.make_node
    arrays = dict(
        src=topology.src.numpy().astype(INT)[None],
        dst=topology.dst.numpy().astype(INT)[None],
        weight=problem.weight.numpy(),
        edges=np.array([topology.num_edges], INT),
        outputs=np.array([topology.out_features], INT),
    )
    nodes = [
        node("Shape", ["x"], ["batch"], end=1),
        node("Concat", ["batch", "edges"], ["products_shape"], axis=0),
        node("Expand", ["src", "products_shape"], ["sources"]),
        node("Expand", ["dst", "products_shape"], ["targets"]),
        node("GatherElements", ["x", "sources"], ["gathered"], axis=1),
        node("Mul", ["gathered", "weight"], ["products"]),
        node("Concat", ["batch", "outputs"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["zeros"]),
        node("ScatterElements", ["zeros", "targets", "products"], ["y"], axis=1, reduction="add"),
    ]
    by_hand(problem, path, nodes, arrays)


def by_rows(problem: Problem, path: Path) -> None:
    topology, node = problem.topology, helper.make_node
    arrays = dict(
        src=topology.src.numpy(),
        dst=topology.dst.numpy().astype(INT)[:, None],
        weight=problem.weight.numpy()[:, None],
        outputs=np.array([topology.out_features], INT),
    )
    nodes = [
        node("Transpose", ["x"], ["columns"], perm=[1, 0]),
        node("Shape", ["x"], ["batch"], end=1),
        node("Gather", ["columns", "src"], ["gathered"], axis=0),
        node("Mul", ["gathered", "weight"], ["products"]),
        node("Concat", ["outputs", "batch"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["zeros"]),
        node("ScatterND", ["zeros", "dst", "products"], ["rows"], reduction="add"),
        node("Transpose", ["rows"], ["y"], perm=[1, 0]),
    ]
    by_hand(problem, path, nodes, arrays)


def by_sparse_kernel(problem: Problem, path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["columns"], perm=[1, 0]),
        helper.make_node(
            "SparseToDenseMatMul", ["matrix", "columns"], ["rows"], domain="com.microsoft"
        ),
        helper.make_node("Transpose", ["rows"], ["y"], perm=[1, 0]),
    ]
    by_hand(problem, path, nodes, {}, sparse=True)


def write(problem: Problem, folder: Path) -> dict[str, Path]:
    """Write a file of each form."""
    layer = el.EdgeLinear.from_topology(problem.topology, weight=problem.weight, bias=False).eval()
    files = {
        name: folder / f"{name.replace(' ', '_')}.onnx"
        for name in ("exported", "exported fixed", "dense", "numbers", "rows", "sparse")
    }
    # Export takes a size of 1 for one that never changes.
    exported(layer, problem.x.expand(max(2, len(problem.x)), -1), files["exported"], dynamic=True)
    exported(layer, problem.x, files["exported fixed"], dynamic=False)
    exported(layer.to_linear(), problem.x, files["dense"], dynamic=False)
    by_numbers(problem, files["numbers"])
    by_rows(problem, files["rows"])
    by_sparse_kernel(problem, files["sparse"])
    return files


def session_of(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def call_of(name: str, path: Path, problem: Problem) -> Callable[[], np.ndarray]:
    session, x = session_of(path), problem.x.numpy()
    if name != "sparse":
        return lambda: session.run(None, {session.get_inputs()[0].name: x})[0]
    topology = problem.topology
    view = topology.by_dst
    weight = problem.weight if view.edge_ids is None else problem.weight[view.edge_ids.long()]
    matrix = onnxruntime.SparseTensor.sparse_csr_from_numpy(
        np.array([topology.out_features, topology.in_features], INT),
        weight.numpy(),
        view.indices.numpy().astype(INT),
        view.indptr.numpy().astype(INT),
        onnxruntime.OrtDevice.make("cpu", 0),
    )
    value = onnxruntime.OrtValue
    feed = {
        "x": value.ortvalue_from_numpy(x),
        "matrix": value.ort_value_from_sparse_tensor(matrix),
    }
    return lambda: session.run_with_ort_values(["y"], feed)[0].numpy()


def memory_of(path: Path, problem: Problem) -> float:
    """Return what a session and three calls add to the peak of a fresh process, in MiB."""
    sizes = json.dumps(list(problem.x.shape))
    command = [sys.executable, __file__, "--memory", str(path), sizes]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def print_memory(path: str, sizes: str) -> None:
    x = np.zeros(json.loads(sizes), np.float32)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of the imports
    before = peak()
    session = session_of(Path(path))
    for _ in range(3):
        session.run(None, {session.get_inputs()[0].name: x})
    print(peak() - before)


def peak() -> float:
    """Return the most memory that this process has held, in MiB."""
    (line,) = (s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s)
    return int(line.split()[1]) / 1024


def measure(name: str, problem: Problem, calls: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = write(problem, Path(folder))
        run = {form: call_of(form, path, problem) for form, path in files.items()}
        truth = problem.truth()[0]
        for form, call in run.items():
            error = np.abs(call() - truth).max() / np.abs(truth).max()
            assert error < TOLERANCE, f"{name}, {form}: error {error:.2g}"
        times: dict[str, list[float]] = {form: [] for form in run}
        for _ in range(calls):
            for form, call in run.items():
                start = time.perf_counter()
                call()
                times[form].append(1000 * (time.perf_counter() - start))
        cells: dict[str, Any] = {form: f"{min(spent):.3g}" for form, spent in times.items()}
        for form in ("exported", "numbers", "rows", "dense"):
            path = files[form]
            size = sum(f.stat().st_size for f in Path(folder).glob(path.name + "*")) / 2**20
            cells[form] += f" ({size:.2g} MiB, {memory_of(path, problem):.0f} MiB)"
        row = f"{name}, batch {len(problem.x)}"
        print("| " + " | ".join([row, *cells.values()]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=())
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--memory", nargs=2, metavar=("FILE", "SIZES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print_memory(*options.memory)
        return
    print("| workload | exported | exported fixed | dense | numbers | rows | sparse |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, wiring, batch in ROWS:
        if not options.only or name in options.only:
            measure(name, Problem.make(wiring(), batch), options.calls)


if __name__ == "__main__":
    main()
