"""Code that reaches inside of modules: torch's transformers, `torch.fx`, `torch.jit.script`."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import edgelinear as el

MODES = pytest.mark.parametrize(
    "mode", [torch.enable_grad, torch.no_grad, torch.inference_mode], ids=lambda m: m.__name__
)


def sparse(in_features, out_features, bias=True):
    topology = el.generators.erdos_renyi(in_features, out_features, density=0.3)
    return el.EdgeLinear.from_topology(topology, bias=bias)


def masked(in_features, out_features, bias=True):
    mask = torch.rand(out_features, in_features) < 0.3
    return el.baselines.MaskedLinear(in_features, out_features, mask, bias=bias)


def dense_twin(model):
    """Return a copy with an `nn.Linear` for each layer, filled here, by hand."""
    twins = {}
    for module in model.modules():
        if isinstance(module, (el.EdgeLinear, el.baselines.MaskedLinear)):
            linear = nn.Linear(module.in_features, module.out_features, module.bias is not None)
            weight = torch.zeros_like(linear.weight)
            if isinstance(module, el.EdgeLinear):
                for e, (source, target) in enumerate(module.edge_index.T.tolist()):
                    weight[target, source] += module.weight[e].detach()
            else:
                weight = module.weight * module.mask
            with torch.no_grad():
                linear.weight.copy_(weight)
                if module.bias is not None:
                    linear.bias.copy_(module.bias)
            twins[id(module)] = linear
    return copy.deepcopy(model, twins).train(model.training)


def encoder_layer(which, make=sparse, **options):
    options = dict(batch_first=True, dropout=0.0) | options
    layer = nn.TransformerEncoderLayer(16, 4, 32, **options)
    for name in which:
        linear = getattr(layer, name)
        bias = linear.bias is not None
        setattr(layer, name, make(linear.in_features, linear.out_features, bias))
    return layer


@MODES
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"batch_first": False}], ids=str)
@pytest.mark.parametrize("which", [["linear1"], ["linear2"], ["linear1", "linear2"]], ids=str)
def test_encoder_layer_equals_its_dense_twin(which, options, training, mode):
    layer = encoder_layer(which, **options).train(training)
    twin, x = dense_twin(layer), torch.randn(3, 5, 16)
    with mode():
        assert_close(layer(x), twin(x), rtol=1e-5, atol=1e-5)


@MODES
@pytest.mark.parametrize("which", ["linear1", "linear2"])
def test_encoder_layer_keeps_the_mask_of_a_masked_layer(which, mode):
    layer = encoder_layer([which], masked).eval()
    twin, x = dense_twin(layer), torch.randn(3, 5, 16)
    with mode():
        assert_close(layer(x), twin(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("edit", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copied_encoder_layer_evaluates(edit):
    layer = edit(encoder_layer(["linear1"]).eval())
    x = torch.randn(3, 5, 16)
    with torch.no_grad():
        assert_close(layer(x), dense_twin(layer)(x), rtol=1e-5, atol=1e-5)


def test_encoder_layer_with_rules_evaluates():
    layer = encoder_layer(["linear1"]).eval()
    el.rules.fix_nonnegative(layer.linear1)
    x = torch.randn(3, 5, 16)
    with torch.no_grad():
        got = layer(x)
    assert_close(got, layer(x), rtol=1e-5, atol=1e-5)


def padded_batch():
    """Return two sequences, of which one is shorter, and the mask of padding."""
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    return torch.randn(2, 5, 16), padding


@MODES
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_encoder_with_nested_tensors_equals_its_dense_twin(late, mode):
    """It turns a padded batch into a nested tensor, which the layer is then called with."""
    encoder = nn.TransformerEncoder(encoder_layer([] if late else ["linear1", "linear2"]), 2)
    if late:  # converted after it was made
        for layer in encoder.layers:
            layer.linear1, layer.linear2 = sparse(16, 32), sparse(32, 16)
    twin = dense_twin(encoder.eval())
    x, padding = padded_batch()
    with mode():
        got, expected = (m(x, src_key_padding_mask=padding) for m in (encoder, twin))
    keep = ~padding.unsqueeze(-1)  # torch itself leaves padding at 0 in one path, not in the other
    assert_close(got * keep, expected * keep, rtol=1e-5, atol=1e-5)


@MODES
@pytest.mark.parametrize("which", ["linear1", "linear2"])
def test_decoder_layer_equals_its_dense_twin(which, mode):
    layer = nn.TransformerDecoderLayer(16, 4, 32, batch_first=True, dropout=0.0).eval()
    linear = getattr(layer, which)
    setattr(layer, which, sparse(linear.in_features, linear.out_features))
    twin, x, memory = dense_twin(layer), torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    with mode():
        assert_close(layer(x, memory), twin(x, memory), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad], ids=lambda m: m.__name__)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_compiled_encoder_layer_equals_its_dense_twin(training, mode):
    torch.compiler.reset()
    layer = encoder_layer(["linear1", "linear2"]).train(training)
    twin, x = dense_twin(layer), torch.randn(3, 5, 16)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with mode():
        assert_close(compiled(x), twin(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
def test_exported_encoder_layer_equals_its_dense_twin(strict):
    layer = encoder_layer(["linear1", "linear2"]).eval()
    twin, x = dense_twin(layer), torch.randn(3, 5, 16)
    with torch.no_grad():
        program = torch.export.export(layer, (x,), strict=strict)
        assert_close(program.module()(x), twin(x), rtol=1e-5, atol=1e-5)


# Attention multiplies by `out_proj.weight` itself.


@pytest.mark.parametrize("make", [sparse, masked])
def test_attention_refuses_a_layer_for_its_projection(make):
    attention = nn.MultiheadAttention(16, 4)
    before = attention.out_proj
    with pytest.raises(TypeError, match="`out_proj` of nn.MultiheadAttention must have a dense"):
        attention.out_proj = make(16, 16)
    assert attention.out_proj is before


@pytest.mark.parametrize("assign", ["add_module", "register_module"])
def test_attention_refuses_it_by_every_door(assign):
    with pytest.raises(TypeError, match=r"apply the EdgeLinear to the result.*to_linear"):
        getattr(nn.MultiheadAttention(16, 4), assign)("out_proj", sparse(16, 16))


def test_attention_inside_of_a_transformer_refuses_it():
    layer = nn.TransformerEncoderLayer(16, 4, 32)
    with pytest.raises(TypeError, match="got EdgeLinear"):
        layer.self_attn.out_proj = sparse(16, 16)


@MODES
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_attention_takes_the_dense_twin_that_it_asks_for(training, mode):
    layer, attention = sparse(16, 16), nn.MultiheadAttention(16, 4, batch_first=True)
    attention.out_proj = layer.to_linear()
    attention.train(training)
    x = torch.randn(3, 5, 16)
    with mode():
        assert attention(x, x, x)[0].shape == x.shape


def test_other_modules_take_the_layer():
    model = nn.Sequential()
    model.out_proj = sparse(4, 4)
    assert model(torch.randn(2, 4)).shape == (2, 4)


# torch.fx and TorchScript


def test_symbolic_trace_takes_the_layer_whole():
    model = nn.Sequential(sparse(8, 6), nn.ReLU(), nn.Sequential(sparse(6, 4)))
    graph = torch.fx.symbolic_trace(model)
    assert [n.target for n in graph.graph.nodes if n.op == "call_module"] == ["0", "1", "2.0"]
    x = torch.randn(3, 8)
    assert_close(graph(x), dense_twin(model)(x), rtol=1e-5, atol=1e-5)
    graph(x).sum().backward()
    assert model[0].weight.grad is not None


def test_symbolic_trace_takes_layers_with_rules():
    model = nn.Sequential(el.rules.fix_nonnegative(sparse(8, 6)), nn.ReLU())
    x = torch.randn(3, 8)
    assert_close(torch.fx.symbolic_trace(model)(x), model(x))


def test_symbolic_trace_of_what_it_cannot_take_says_what_to_do():
    layer = sparse(8, 6)
    with pytest.raises(TypeError, match="put it into an nn.Sequential, or use `torch.export`"):
        torch.fx.symbolic_trace(layer)
    with pytest.raises(TypeError, match="traces models that call an EdgeLinear"):
        torch.fx.symbolic_trace(lambda x: el.edge_linear(x, layer.weight, layer.topology))


def test_script_of_the_layer_says_what_to_use():
    for model in (sparse(8, 6), nn.Sequential(sparse(8, 6)), encoder_layer(["linear1"])):
        with pytest.raises(TypeError, match=r"cannot take EdgeLinear: use `torch.jit.trace`"):
            torch.jit.script(model)


def test_masked_layer_can_still_be_scripted():
    layer, x = masked(8, 6), torch.randn(3, 8)
    expected = F.linear(x, layer.weight * layer.mask, layer.bias)
    assert_close(torch.jit.script(layer)(x), expected)


def test_compiled_function_may_make_modules():
    torch.compiler.reset()

    def make_and_call(x):
        model = nn.Sequential()
        model.first = nn.Linear(4, 3)
        return model(x)

    y = torch.compile(make_and_call, backend="eager")(torch.randn(2, 4))
    assert y.shape == (2, 3)


class Tripled(el.EdgeLinear):
    def forward(self, x):
        return 3 * super().forward(x)


def hooked(kind):
    layer = el.EdgeLinear(3, 3, [(0, 0), (1, 1), (2, 2)])
    getattr(layer, kind)(lambda *arguments: None)
    return layer


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (Tripled(3, 3, [(0, 0), (1, 1), (2, 2)]), "a `forward` of its own"),
        (hooked("register_forward_hook"), "hooks"),
        (hooked("register_forward_pre_hook"), "hooks"),
    ],
    ids=["subclass", "hook", "pre-hook"],
)
def test_what_fx_would_do_twice_is_refused(layer, what):
    with pytest.raises(TypeError, match=f"with {what}: use `torch.export`"):
        torch.fx.symbolic_trace(nn.Sequential(layer))


def test_attention_that_calls_its_out_proj_takes_the_layer():
    class Attention(nn.MultiheadAttention):
        def forward(self, query):
            return self.out_proj(query)

    attention = Attention(4, 2)
    attention.out_proj = el.EdgeLinear(4, 4, [(0, 0), (2, 3)])
    x = torch.randn(5, 4)
    assert torch.equal(attention(x), attention.out_proj(x))


def test_layer_has_no_hook_where_nothing_reaches_inside():
    """A hook costs each call a microsecond."""
    model = nn.Sequential(el.EdgeLinear(3, 3, [(0, 0)]))
    assert not model[0]._forward_pre_hooks
