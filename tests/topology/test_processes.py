"""Other processes: index tensors move to shared memory, and topologies are pickled by value."""

import multiprocessing
import pickle

import pytest
import torch
import torch.multiprocessing
import torch.nn.functional as F
from problems import random
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

import edgelinear as el

# 5 -> 4, unsorted, so that no view shares memory with the edges; and the same in order.
EDGES = torch.tensor([[3, 0, 1, 3, 0, 4, 3], [2, 0, 2, 1, 2, 0, 2]])
ORDERS = {"unsorted": EDGES, "sorted": EDGES[:, [1, 5, 3, 4, 2, 0, 6]]}
orders = pytest.mark.parametrize("order", ORDERS)


def make_layer(order="unsorted"):
    torch.manual_seed(0)
    return el.EdgeLinear(5, 4, ORDERS[order], duplicates="keep", dtype=torch.float64)


def index_tensors(layer):
    """Return every tensor that says how a layer is wired."""
    views = (layer.topology, layer.topology.T)
    return [t for topology in views for t in topology._tensors if t is not None]


def outcome(layer, x):
    """Return output and gradients."""
    y = layer(x)
    return y, *torch.autograd.grad(y.square().sum(), [layer.weight, x])


def put_on_a_queue(layer):
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    for tensor in index_tensors(layer):
        queue.put(tensor)
    return queue  # which keeps the memory


MOVES = {
    "share_memory_": lambda layer: [t.share_memory_() for t in index_tensors(layer)],
    "a queue": put_on_a_queue,
    "a traced graph": lambda layer: make_fx(layer)(random(3, 5)).share_memory(),
    "the layer": lambda layer: layer.share_memory(),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("backend", ["cpp", "torch_csr", "reference"])
@orders
def test_layer_computes_the_same_after_its_indices_moved(order, backend, move):
    layer, x = make_layer(order), random(3, 5).requires_grad_()
    layer.backend = backend
    before = outcome(layer, x)  # whatever is kept past a call is kept now
    held = MOVES[move](layer)
    rubbish = [torch.full((7,), -1, dtype=torch.int32) for _ in range(100)]
    assert_close(outcome(layer, x), before, rtol=0, atol=0)
    assert_close(layer(x), F.linear(x, layer.to_dense(), layer.bias))
    del held, rubbish


@orders
def test_moved_indices_are_really_elsewhere(order):
    layer = make_layer(order)
    before = [t.data_ptr() for t in index_tensors(layer)]
    MOVES["share_memory_"](layer)
    after = [t.data_ptr() for t in index_tensors(layer)]
    assert all(a != b for a, b in zip(before, after, strict=True))


def values():
    """Return one of each kind that people hand to another process."""
    layer = make_layer()
    signed = el.rules.fix_signs(make_layer(), [1, -1, 1, 1, -1]).topology
    return {
        "topology": layer.topology,
        "reverse": layer.topology.T,
        "layer": layer,
        "model": torch.nn.Sequential(layer, torch.nn.Tanh()),
        "wiring": layer.wiring,
        "merged": el.convert.from_edges(5, 4, EDGES, duplicates="merge"),
        "edges": el.EdgeMap.between(layer.topology, signed),
    }


def in_child(sent, replies):
    received = sent if isinstance(sent, dict) else sent.get()
    x = torch.arange(10.0, dtype=torch.float64).view(2, 5)
    replies.put(
        {
            "outputs": received["model"](x).tolist(),
            "edges": received["topology"].edge_index.tolist(),
            "reverse": received["reverse"].edge_index.tolist(),
            "weight": received["wiring"].weight.tolist(),
            "rows": received["merged"].rows.old.tolist(),
            "old": received["edges"].old.tolist(),
            "shared": received["layer"].topology is received["model"][0].topology,
        }
    )


def expected():
    sent = values()
    x = torch.arange(10.0, dtype=torch.float64).view(2, 5)
    return {
        "outputs": sent["model"](x).tolist(),
        "edges": EDGES.tolist(),
        "reverse": EDGES.flip(0).tolist(),
        "weight": sent["wiring"].weight.tolist(),
        "rows": [0, 1, 2, 3, 4, 5],
        "old": list(range(7)),
        "shared": True,
    }


LIBRARIES = {"torch": torch.multiprocessing, "python": multiprocessing}
slow = pytest.mark.slow
processes = pytest.mark.parametrize(
    "library, method",
    [
        ("torch", "spawn"),
        pytest.param("torch", "forkserver", marks=slow),
        pytest.param("python", "spawn", marks=slow),
        pytest.param("python", "forkserver", marks=slow),
    ],
)


@processes
def test_process_receives_values_as_arguments_and_from_a_queue(library, method):
    context = LIBRARIES[library].get_context(method)
    queue, replies = context.Queue(), context.Queue()
    queue.put(values())
    # Both at once, as their start takes most of the time. The arguments are kept by nobody.
    workers = [
        context.Process(target=in_child, args=(values(), replies)),
        context.Process(target=in_child, args=(queue, replies)),
    ]
    for worker in workers:
        worker.start()
    received = [replies.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert received == [expected(), expected()]


def test_pickled_topology_holds_no_tensors():
    """What a process is handed must not hang on the memory of this one."""

    class Pickler(pickle.Pickler):
        def reducer_override(self, value):
            assert not isinstance(value, torch.Tensor), "a tensor goes by file descriptor"
            return NotImplemented

    import io

    Pickler(buffer := io.BytesIO()).dump(make_layer().topology)
    assert pickle.loads(buffer.getvalue()) == make_layer().topology


def test_topology_pickled_as_a_tensor_before_is_read():
    rebuild, _ = make_layer().topology.__reduce__()
    assert rebuild(5, 4, EDGES) == make_layer().topology


def test_layer_pickled_elsewhere_is_placed_where_its_weight_is(tmp_path):
    layer = make_layer().to("meta")
    torch.save(layer, tmp_path / "layer.pt")
    loaded = torch.load(tmp_path / "layer.pt", weights_only=False, map_location="cpu")
    assert loaded.topology.device.type == "cpu"
    assert_close(loaded.edge_index, EDGES)
