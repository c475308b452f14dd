"""EdgeLinear as a module: values, shapes, types, conversions, errors."""

import copy

import pytest
import torch
from problems import PROBLEMS, by_dense, dense, random
from torch import nn
from torch.nn.utils import prune
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

import edgelinear as el

PROBLEM = PROBLEMS["unsorted"]
make_layer = PROBLEM.layer


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("bias", [True, False])
def test_layer_equals_dense_linear_with_its_gradients(name, bias):
    problem = PROBLEMS[name]
    layer, x = problem.layer(bias=bias), problem.x().requires_grad_()
    inputs = [x, *layer.parameters()]
    y, expected = layer(x), by_dense(layer, x)
    assert_close(y, expected)
    ours = torch.autograd.grad(y, inputs, problem.grad(), retain_graph=True)
    theirs = torch.autograd.grad(expected, inputs, problem.grad())
    for our, their in zip(ours, theirs, strict=True):
        assert_close(our, their)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (1, 2, 1, 2), (0,), (2, 0), (0, 3)])
def test_any_leading_dimensions(shape):
    layer, x = make_layer(), random(*shape, 13).requires_grad_()
    y = layer(x)
    assert y.shape == (*shape, 7)
    assert y.is_contiguous()
    assert_close(y, by_dense(layer, x))
    ours = torch.autograd.grad(y.pow(2).sum(), [x, *layer.parameters()])
    theirs = torch.autograd.grad(by_dense(layer, x).pow(2).sum(), [x, *layer.parameters()])
    for our, their in zip(ours, theirs, strict=True):
        assert_close(our, their)


@pytest.mark.parametrize(
    "x",
    [
        random(13, 6).t(),
        random(12, 13)[::2],
        random(6, 26)[:, ::2],
        random(13).expand(6, 13),
        random(4, 13, 3).transpose(1, 2),
    ],
    ids=["transposed", "rows", "columns", "expanded", "permuted"],
)
def test_non_contiguous_inputs(x):
    layer = make_layer()
    assert not x.is_contiguous()
    assert_close(layer(x), by_dense(layer, x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_autocast_returns_what_linear_returns(dtype, bias):
    layer = make_layer(dtype=torch.float32, bias=bias)
    x = random(9, 13, dtype=torch.float32).requires_grad_()
    masked = layer.to_masked_linear()
    exact = by_dense(copy.deepcopy(layer).double(), x.double())
    with torch.autocast("cpu", dtype=dtype):
        ours, theirs = layer(x), masked(x)
        assert ours.dtype == theirs.dtype == dtype
        error = (ours.double() - exact).abs().max()
        assert error <= 2 * (theirs.double() - exact).abs().max()
        loss, their_loss = ours.float().pow(2).sum(), theirs.float().pow(2).sum()
    loss.backward()
    our_grad = x.grad.clone()
    x.grad = None
    their_loss.backward()
    assert our_grad.dtype == layer.weight.grad.dtype == torch.float32
    exact_layer = copy.deepcopy(layer).double()
    xd = x.detach().double().requires_grad_()
    by_dense(exact_layer, xd).pow(2).sum().backward()
    src, dst = layer.edge_index
    pairs = [
        (our_grad, x.grad, xd.grad),
        (layer.weight.grad, masked.weight.grad[dst, src], exact_layer.weight.grad),
    ]
    for our, their, true in pairs:
        assert (our - true).abs().max() <= 2 * (their - true).abs().max()


def test_autocast_leaves_float64_alone():
    layer, x = make_layer(), random(4, 13)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(layer(x), by_dense(layer, x).double())


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_inf_and_nan_reach_only_the_targets_they_feed(value):
    layer, x = make_layer(), random(4, 13)
    x[2, 5] = value
    fed = torch.zeros(4, 7, dtype=torch.bool)
    fed[2, layer.edge_index[1][layer.edge_index[0] == 5]] = True
    assert fed.any() and not fed[2].all()
    assert torch.equal(~layer(x).isfinite(), fed)


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpoint_leaves_the_gradients(reentrant):
    layer, x = make_layer(), random(4, 13).requires_grad_()
    inputs = [x, *layer.parameters()]
    checkpoint(layer, x, use_reentrant=reentrant).pow(2).sum().backward()
    expected = torch.autograd.grad(by_dense(layer, x).pow(2).sum(), inputs)
    for tensor, grad in zip(inputs, expected, strict=True):
        assert_close(tensor.grad, grad)


def test_reset_parameters_draws_anew():
    layer = make_layer()
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(before, layer.weight)


def test_repr_says_what_the_layer_is():
    edges = torch.stack([torch.arange(27687), torch.arange(27687) // 3])
    layer = el.EdgeLinear(27687, 9229, edges)
    assert repr(layer) == (
        "EdgeLinear(in_features=27687, out_features=9229, edges=27687, density=0.011%, "
        "fan_in=3/3/3, sorted=True, bias=True, backend=auto)"
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_repr_of_every_problem(name):
    assert f"edges={PROBLEMS[name].edge_index.shape[1]}, " in repr(PROBLEMS[name].layer())


def test_initial_weight_is_copied_in_edge_order():
    values = random(40)
    layer = make_layer(weight=values)
    assert torch.equal(layer.weight, values)
    values.zero_()
    assert layer.weight.any()


def test_duplicates_keep_and_merge_equal_each_other():
    pairs = [(0, 1), (2, 0), (0, 1), (0, 1)]
    kept = el.EdgeLinear(3, 2, pairs, weight=[1.0, 2.0, 3.0, 4.0], duplicates="keep", bias=False)
    merged = el.EdgeLinear(3, 2, pairs, weight=[1.0, 2.0, 3.0, 4.0], duplicates="merge", bias=False)
    assert kept.num_edges == 4
    assert merged.weight.tolist() == [8.0, 2.0]
    x = torch.randn(5, 3)
    assert_close(kept(x), merged(x))
    with pytest.raises(ValueError, match=r"edge 0 -> 1 is given twice \(edges 0 and 2\)"):
        el.EdgeLinear(3, 2, pairs)


@pytest.mark.parametrize("name", PROBLEMS)
def test_dense_twins_have_the_same_function(name):
    problem = PROBLEMS[name]
    layer, x = problem.layer(), problem.x()
    for twin in (layer.to_linear(), layer.to_masked_linear()):
        assert twin.weight.dtype == torch.float64
        assert_close(twin(x), layer(x))
    assert type(layer.to_linear()) is nn.Linear
    assert_close(layer.to_dense(), dense(layer.weight, problem))


def test_to_dense_passes_gradients():
    layer = make_layer()
    (grad,) = torch.autograd.grad(layer.to_dense().pow(2).sum(), layer.weight)
    assert_close(grad, 2 * layer.weight)


def test_from_linear_keeps_bias_type_and_function():
    linear = nn.Linear(6, 4, dtype=torch.float64)
    with torch.no_grad():
        linear.weight[linear.weight.abs() < 0.2] = 0
    layer = el.EdgeLinear.from_linear(linear)
    assert layer.num_edges == (linear.weight != 0).sum() < 24
    x = random(5, 6)
    assert_close(layer(x), linear(x))
    assert el.EdgeLinear.from_linear(nn.Linear(6, 4, bias=False)).bias is None
    assert el.EdgeLinear.from_linear(linear, dtype=torch.float32).weight.dtype == torch.float32


def test_from_linear_reads_a_pruned_bias_as_the_next_forward_will():
    linear = nn.Linear(6, 4)
    prune.random_unstructured(linear, "bias", amount=2)
    with torch.no_grad():
        linear.bias_orig.add_(1)
    x = torch.randn(5, 6)
    layer = el.EdgeLinear.from_linear(linear)  # before a forward refreshes `linear.bias`
    assert_close(layer(x), linear(x))


def test_from_adjacency_reads_in_by_out_and_mask_out_by_in():
    matrix = torch.tensor([[0.0, 2.0], [0.0, 0.0], [3.0, 0.0]])
    layer = el.EdgeLinear.from_adjacency(matrix, values="weight", bias=False)
    assert (layer.in_features, layer.out_features) == (3, 2)
    x = random(4, 3, dtype=torch.float32)
    assert_close(layer(x), x @ matrix)
    mask = el.EdgeLinear.from_weight_mask(matrix.T != 0)
    assert mask.topology == layer.topology
    with pytest.raises(ValueError, match='`values` must be "ignore" or "weight", got \'edges\''):
        el.EdgeLinear.from_adjacency(matrix, values="edges")


def test_backend_for_names_what_runs():
    layer = make_layer()
    assert layer.backend_for(random(2, 13)) == "cpp"
    assert layer.backend_for(random(0, 13)) == "cpp"
    layer.backend = "reference"
    assert layer.backend_for(random(2, 3, 13)) == "reference"


class Activated(el.EdgeLinear):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.activation = nn.Tanh()

    def forward(self, x):
        return self.activation(super().forward(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Activated.from_topology(PROBLEM.topology()),
        lambda: Activated.from_wiring(el.convert.from_edges(13, 7, PROBLEM.edge_index)),
        lambda: Activated.from_linear(nn.Linear(13, 7)),
        lambda: Activated.from_state_dict(make_layer(dtype=torch.float32).state_dict()),
    ],
)
def test_subclass_is_made_whole(make):
    assert make()(torch.randn(2, 13)).abs().max() < 1


def test_layer_takes_a_topology_of_its_sizes():
    topology = PROBLEM.topology()
    assert el.EdgeLinear(13, 7, topology).topology is topology
    with pytest.raises(ValueError, match="must have 7 -> 13 features, got 13 -> 7"):
        el.EdgeLinear(7, 13, topology)


@pytest.mark.parametrize("duplicates", ["keep", "merge", "nonsense"])
def test_duplicates_of_a_topology_are_settled(duplicates):
    with pytest.raises(ValueError, match="settled when a Topology is built"):
        el.EdgeLinear.from_topology(PROBLEM.topology(), duplicates=duplicates)


def test_values_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="the values of the data, which has none"):
        el.EdgeLinear.from_wiring(el.convert.from_edges(3, 2, [(0, 0)]), values="weight")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: el.EdgeLinear.from_topology(el.convert.from_edges(1, 1, [(0, 0)])),
         "got a Wiring: use `from_wiring`"),
        (lambda t: el.EdgeLinear.from_topology([(0, 0)]), "must be a Topology, got list"),
        (lambda t: el.EdgeLinear.from_wiring(t), "got Topology: use `from_topology`"),
        (lambda t: el.EdgeLinear(2, 2, zip([0], [1], strict=True)), "got zip: pass a"),
        (lambda t: el.EdgeLinear(2, 2, {(0, 1)}), "got set: pass a"),
        (lambda t: el.EdgeLinear.from_adjacency([["a"]]), "real numbers in rows"),
        (lambda t: el.EdgeLinear.from_topology(t, dtype=torch.complex64), "real floating type"),
        (lambda t: el.EdgeLinear.from_topology(t, dtype="float32"), "real floating type"),
        (lambda t: el.edge_linear(random(2, 13), [1.0], t), "`weight` must be a tensor, got list"),
        (lambda t: el.EdgeLinear.from_topology(t)(random(2, 13).numpy()), "tensor, got ndarray"),
        (lambda t: el.edge_linear(random(2, 13), random(40), t.edge_index),
         "must be a Topology, got Tensor: use `el.Topology"),
    ],
)  # fmt: skip
def test_wrong_kind_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call(PROBLEM.topology())


def test_mask_as_edges_is_refused():
    with pytest.raises(ValueError, match="For a mask, use `EdgeLinear.from_weight_mask`"):
        el.EdgeLinear(3, 4, torch.ones(4, 3, dtype=torch.bool))


def test_layers_on_one_topology_share_it():
    topology = PROBLEM.topology()
    first, second = (el.EdgeLinear.from_topology(topology) for _ in range(2))
    assert first.topology is second.topology is topology
    assert first.weight is not second.weight


def test_meta_layer_infers_shapes():
    layer = make_layer(device="meta")
    assert layer(torch.empty(2, 3, 13, dtype=torch.float64, device="meta")).shape == (2, 3, 7)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(32, 512, dtype=torch.float64),
            ValueError,
            r"`input` must have 13 features in its last dimension .*got shape \(32, 512\)",
        ),
        (torch.zeros((), dtype=torch.float64), ValueError, r"`dim` -1 is not a dimension"),
        (torch.zeros(2, 13), TypeError, "`input` is torch.float32 and the weight torch.float64"),
        (
            torch.zeros(2, 13, dtype=torch.bfloat16),
            TypeError,
            "`input` is torch.bfloat16 and the weight torch.float64",
        ),
        (torch.zeros(2, 13, dtype=torch.complex64), TypeError, "must be real, got torch.complex64"),
        (
            torch.zeros(2, 13, dtype=torch.long),
            TypeError,
            "must be floating point, got torch.int64",
        ),
        (
            torch.zeros(2, 13, dtype=torch.float64, device="meta"),
            ValueError,
            "`input` is on meta and the weight on cpu",
        ),
    ],
)
def test_bad_input_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        make_layer()(x)


def test_float32_weight_with_a_half_input_needs_autocast():
    layer, x = make_layer(dtype=torch.float32), random(2, 13, dtype=torch.bfloat16)
    with pytest.raises(TypeError, match="`input` is torch.bfloat16 and the weight torch.float32"):
        layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_autocast_refuses_float64_mixed_with_float32():
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(TypeError, match="autocast leaves float64 as it is"),
    ):
        make_layer(dtype=torch.float32)(random(2, 13))


def test_complex_weight_is_refused():
    with pytest.raises(TypeError, match="`weight` must be real, got torch.complex64"):
        make_layer(weight=torch.zeros(40, dtype=torch.complex64))


@pytest.mark.cuda
def test_layer_moves_to_cuda_and_back():
    layer, x = make_layer(dtype=torch.float32), random(5, 13, dtype=torch.float32)
    expected = layer(x)
    layer.to("cuda")
    assert layer.topology.device.type == "cuda"
    assert_close(layer(x.to("cuda")).cpu(), expected, atol=1e-5, rtol=1e-5)  # other order of sums
    layer.to("cpu")
    assert torch.equal(layer(x), expected)
