"""`el.sparsify` on what torch's models are made of: who else needs a weight, and in which form."""

import copy

import pytest
import torch
import torch.nn.functional as F
from pruned_models import evaluated, masked, mlp, sparsify, zeros
from torch import nn
from torch.nn.utils import parametrizations, weight_norm
from torch.testing import assert_close

import edgelinear as el

pytestmark = pytest.mark.usefixtures("few_rounds")


def rows(report):
    return {layer.name: (layer.action, layer.reason) for layer in report.layers}


def left(report):
    return {layer.name: layer.reason for layer in report.layers if layer.action == "left"}


def output(model, *example, **named):
    with torch.no_grad():
        return model.eval()(*example, **named)


def assert_same(model, x, exact):
    assert_close(output(model, x), exact.float(), rtol=1e-5, atol=1e-5)


def all_zeros(model, sparsity=0.9):
    for module in model.modules():
        if isinstance(module, nn.Linear):
            zeros(module, sparsity)
    return model


# Modules of torch that read weights themselves


@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("how", [zeros, masked])
def test_encoder_layer_computes_the_same(mode, how):
    model = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    how(model.linear1, 0.9), how(model.linear2, 0.9), zeros(model.self_attn.out_proj, 0.9)
    x = torch.randn(3, 5, 16)
    exact = evaluated(model, x)
    report = sparsify(model, x, mode=mode)
    assert type(model.linear1) is type(model.linear2) is el.EdgeLinear
    assert left(report) == {
        "self_attn.out_proj": "nn.MultiheadAttention multiplies by its weight without a call of it"
    }
    assert_same(model, x, exact)


def test_encoder_with_nested_tensors_computes_the_same():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = all_zeros(nn.TransformerEncoder(layer, 2))
    x, padding = torch.randn(2, 5, 16), torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    exact = evaluated(model, x, src_key_padding_mask=padding)
    example = {"src": x, "src_key_padding_mask": padding}
    report = sparsify(model, example, mode="inference")
    assert len(report.converted) == 4
    got = output(model, **example)
    assert_close(got[~padding], exact.float()[~padding], rtol=1e-5, atol=1e-5)


def test_encoder_layer_that_goes_back_keeps_its_fast_path(monkeypatch):
    from edgelinear.conversion import timing

    monkeypatch.setattr(timing, "_times", lambda *_: (1.0, 0.5))
    monkeypatch.setattr(timing, "time_model", lambda *_: (1.0, 2.0))
    model = all_zeros(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True))
    sparsify(model, torch.randn(3, 5, 16), when="faster", mode="inference")
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_attention_that_calls_its_projection_is_converted():
    class Attention(nn.MultiheadAttention):
        def forward(self, x):
            return self.out_proj(x)

    model = all_zeros(Attention(16, 4))
    assert rows(sparsify(model, torch.randn(5, 16)))["out_proj"][0] == "converted"


# One weight in several places


class Tied(nn.Module):
    """A small language model whose embedding is its last matrix too."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.fc = zeros(nn.Linear(8, 8), 0.9)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.fc(self.embedding(tokens)))


def test_head_that_is_the_embedding_stays():
    model = Tied()
    zeros(model.head, 0.9)
    report = sparsify(model, torch.randint(20, (3, 5)))
    assert left(report) == {"head": "its weight is that of `embedding.weight` too"}
    assert model.head.weight is model.embedding.weight and type(model.fc) is el.EdgeLinear


def test_layer_used_twice_is_one_layer():
    shared = zeros(nn.Linear(8, 8), 0.9)
    model, x = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared)), torch.randn(4, 8)
    exact = evaluated(model, x)
    report = sparsify(model, x)
    assert model[0] is model[2][0] and type(model[0]) is el.EdgeLinear
    assert [(layer.name, layer.calls) for layer in report.layers] == [("0 = 2.0", 2)]
    assert_same(model, x, exact)


def tied_linears(how):
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    return nn.Sequential(how(first, 0.9), nn.ReLU(), how(second, 0.9))


@pytest.mark.parametrize("how", [zeros, masked])
def test_two_layers_of_one_parameter_share_that_of_the_edges(how):
    model, x = tied_linears(how), torch.randn(4, 8)
    exact = evaluated(model, x)
    sparsify(model, x)
    assert model[0] is not model[2] and model[0].weight is model[2].weight
    assert len([*model.parameters()]) == 3
    assert_same(model, x, exact)


def test_they_stay_together():
    model = tied_linears(zeros)
    report = sparsify(model, torch.randn(4, 8), skip="2")
    assert left(report) == {
        "0": "its weight is that of `2` too, which stays",
        "2": "skipped, as asked",
    }


def test_two_layers_of_one_parameter_may_have_different_masks():
    model = tied_linears(lambda linear, _: linear)
    masked(model[0], 0.9), masked(model[2], 0.95)
    report = sparsify(model, torch.randn(4, 8))
    assert {*left(report).values()} == {
        "its weight is that of another layer too, which has another mask"
    }


def test_amount_prunes_a_shared_weight_once():
    model = tied_linears(lambda linear, _: linear)
    sparsify(model, torch.randn(4, 8), amount=95 / 128, min_sparsity=0.5)  # of 64 weights, not 128
    assert model[0].num_edges == 16 and model[0].weight is model[2].weight


# Weights that others read


class Lora(nn.Module):
    """An adapter as PEFT makes it: it calls the layer, and adds to what comes out."""

    def __init__(self, base):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, 2, bias=False)
        self.lora_B = nn.Linear(2, base.out_features, bias=False)

    def forward(self, x):
        assert self.base_layer.weight.dtype == x.dtype  # which is no reading
        return self.base_layer(x) + self.lora_B(self.lora_A(x))


class Merged(Lora):
    """One that adds to the weight."""

    def forward(self, x):
        weight = self.base_layer.weight + self.lora_B.weight @ self.lora_A.weight
        return F.linear(x, weight, self.base_layer.bias)


def test_base_of_an_adapter_is_converted_and_frozen():
    model, x = nn.Sequential(Lora(zeros(nn.Linear(12, 8), 0.9))), torch.randn(4, 12)
    exact = evaluated(model, x)
    report = sparsify(model, x)
    assert [layer.name for layer in report.converted] == ["0.base_layer"]
    assert not model[0].base_layer.weight.requires_grad
    assert_same(model, x, exact)


def test_layer_whose_weight_is_added_to_stays():
    model = nn.Sequential(Merged(zeros(nn.Linear(12, 8), 0.9)), nn.Linear(8, 8))
    report = sparsify(model, torch.randn(4, 12), min_sparsity=0)
    assert left(report).keys() == {"0.base_layer", "0.lora_A", "0.lora_B"}
    assert all("reads its weight without a call of it" in why for why in left(report).values())
    assert type(model[1]) is el.EdgeLinear


def test_pruned_layer_whose_product_is_read_stays():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = masked(nn.Linear(8, 8), 0.9)

        def forward(self, x):
            return self.fc(x) + self.fc.weight.sum()

    assert "reads its weight without a call" in left(sparsify(Model(), torch.randn(4, 8)))["fc"]


def test_layer_that_a_list_calls_as_well_is_refused_and_nothing_changes():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.other = zeros(nn.Linear(8, 8), 0.9), zeros(nn.Linear(8, 8), 0.9)
            self.steps = [self.fc]

        def forward(self, x):
            return self.other(self.steps[0](x))

    model = Model()
    with pytest.raises(RuntimeError, match="`fc` is called by more than its name, as from a list"):
        sparsify(model, torch.randn(4, 8))
    assert type(model.fc) is type(model.other) is nn.Linear and model.training
    assert [layer.name for layer in sparsify(model, torch.randn(4, 8), skip="fc").converted] == [
        "other"
    ]


def test_change_of_the_outputs_is_refused_and_nothing_changes():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(8, 8), 0.9)

        def forward(self, x):
            return self.fc(x) * len(self.fc.weight.shape)

    model = Model()
    with pytest.raises(RuntimeError, match="the outputs of `model` change by .* skip that layer"):
        sparsify(model, torch.randn(4, 8))
    assert type(model.fc) is nn.Linear


def test_outputs_that_differ_each_time_are_not_compared():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.generator = zeros(nn.Linear(8, 8), 0.9), torch.Generator()

        def forward(self, x):
            return self.fc(x) + torch.randn(8, generator=self.generator)

    report = sparsify(Model(), torch.randn(4, 8))
    assert len(report.converted) == 1 and report.to_dict()["difference"] is None


def test_dropout_in_evaluation_does_not_matter():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = zeros(nn.Linear(8, 8), 0.9)

        def forward(self, x):
            return F.dropout(self.fc(x), 0.5, training=True)

    assert sparsify(Model(), torch.randn(4, 8)).difference < 1e-6


# Layers that stay


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Named(nn.Linear):
    pass


def patched():
    linear = nn.Linear(8, 8)
    linear.forward = lambda x: x
    return linear


def hooked():
    linear = nn.Linear(8, 8)
    linear.weight.register_hook(lambda grad: grad)
    return linear


def quantized():
    class Int8(torch.Tensor):
        pass

    linear = nn.Linear(8, 8)
    linear.weight = nn.Parameter(torch.zeros(8, 8).as_subclass(Int8))
    return linear


def holding():
    linear = nn.Linear(8, 8)
    linear.register_buffer("scale", torch.ones(()))
    return linear


def compiled():
    linear = nn.Linear(8, 8)
    linear.compile(backend="eager")
    return linear


STAYING = {
    "subclass": (lambda: Doubled(8, 8), "Doubled has a `forward` of its own"),
    "patched": (patched, "Linear has a `forward` of its own"),
    "weight_norm": (lambda: weight_norm(nn.Linear(8, 8)), "computed from `weight_g` and `weight_v"),
    "parametrized": (lambda: parametrizations.orthogonal(nn.Linear(8, 8)), "by _Orthogonal"),
    "hook": (hooked, "its weight has hooks, which expect a matrix"),
    "quantized": (quantized, "its weight is a Int8, as of quantized or sharded layers"),
    "buffer": (holding, "it holds `scale` beside its weight and bias"),
    "compiled": (compiled, "it is compiled alone: sparsify the model first"),
    "wrapped": (lambda: torch.compile(nn.Linear(8, 8), backend="eager"), "it is compiled alone"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("make", "why"), STAYING.values(), ids=STAYING)
def test_layer_stays_and_the_report_says_why(make, why):
    model = nn.Sequential(make(), zeros(nn.Linear(8, 8), 0.9))
    kept = model[0]
    report = sparsify(model, torch.randn(4, 8), min_sparsity=0, amount=0.5)
    assert model[0] is kept and type(model[1]) is el.EdgeLinear
    assert why in report.layers[0].reason
    assert torch.isfinite(model(torch.randn(4, 8))).all()


def test_subclass_that_computes_the_same_is_converted():
    model = nn.Sequential(zeros(Named(8, 8), 0.9))
    assert rows(sparsify(model, torch.randn(4, 8)))["0"][0] == "converted"


def test_layer_that_the_example_never_reaches(monkeypatch):
    from edgelinear.conversion import timing

    monkeypatch.setattr(timing, "_times", lambda *_: (1.0, 0.5))
    monkeypatch.setattr(timing, "time_model", lambda *_: (1.0, 0.5))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.unused = zeros(nn.Linear(8, 8), 0.9), zeros(nn.Linear(8, 8), 0.9)

        def forward(self, x):
            return self.fc(x)

    report = sparsify(Model(), torch.randn(4, 8), when="faster")
    assert left(report) == {"unused": "the example never reaches it"}
    assert len(sparsify(Model(), torch.randn(4, 8)).converted) == 2


def test_skip_names_modules_and_all_that_is_inside():
    model = nn.Sequential(mlp(), nn.Sequential(zeros(nn.Linear(3, 3), 0.9)))
    report = sparsify(model, torch.randn(8, 24), skip=["0.0", "1"], min_sparsity=0)
    assert [n for n, why in left(report).items() if why == "skipped, as asked"] == ["0.0", "1.0"]


# Compiled and scripted parts


def test_compiled_model_is_compiled_anew():
    torch.compiler.reset()
    model, x = mlp(), torch.randn(8, 24)
    compiled = torch.compile(model, backend="aot_eager")
    compiled(x).sum().backward()
    exact = evaluated(model, x)
    report = sparsify(compiled, x)
    assert report.model is compiled and type(model[0]) is el.EdgeLinear
    assert_same(compiled, x, exact)
    model.zero_grad()
    compiled.train()(x).sum().backward()
    assert model[0].weight.grad.shape == model[0].weight.shape


def test_compiled_part_is_compiled_anew():
    torch.compiler.reset()
    inner, x = mlp(), torch.randn(8, 24)
    model = nn.Sequential(torch.compile(inner, backend="aot_eager"), nn.Tanh())
    exact = evaluated(nn.Sequential(inner, nn.Tanh()), x)
    output(model, x)
    report = sparsify(model, x)
    assert [layer.name for layer in report.converted] == ["0._orig_mod.0", "0._orig_mod.4"]
    assert_same(model, x, exact)


def test_scripted_part_stays():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)))
    model, x = nn.Sequential(scripted, zeros(nn.Linear(8, 8), 0.9)), torch.randn(4, 8)
    exact = evaluated(model[1], output(model[0], x))
    state = {name: b.clone() for name, b in model.named_buffers()}
    report = sparsify(model.train(), x)
    assert all(torch.equal(b, state[name]) for name, b in model.named_buffers())
    assert [layer.name for layer in report.layers] == ["1"]
    assert_same(model, x, exact)


# Hooks


@pytest.mark.parametrize("how", [zeros, masked])
def test_hooks_stay(how):
    model, x = nn.Sequential(how(nn.Linear(8, 8), 0.9)), torch.randn(4, 8)
    model[0].register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    model[0].register_forward_hook(lambda module, inputs, kwargs, y: y + 1, with_kwargs=True)
    gradients = []
    model[0].register_full_backward_hook(lambda module, grad_in, grad_out: gradients.append(1))
    exact = evaluated(model, x)
    sparsify(model, x)
    assert_same(model, x, exact)
    gradients.clear()
    model(x.requires_grad_()).sum().backward()
    assert gradients == [1]
    assert len(model[0]._forward_pre_hooks) == 1


def test_handles_of_hooks_remove_those_of_the_new_layer():
    model, calls = nn.Sequential(zeros(nn.Linear(8, 8), 0.9)), []
    handle = model[0].register_forward_hook(lambda *_: calls.append(1))
    sparsify(model, torch.randn(4, 8))
    calls.clear()
    model(torch.randn(4, 8))
    handle.remove()
    model(torch.randn(4, 8))
    assert calls == [1] and not model[0]._forward_hooks


def test_pruned_bias_stays_pruned():
    model, x = nn.Sequential(zeros(nn.Linear(8, 6), 0.9)), torch.randn(4, 8)
    nn.utils.prune.l1_unstructured(model[0], "bias", amount=3)
    exact = evaluated(model, x)
    bias = model[0].bias_orig
    sparsify(model, x)
    assert_same(model, x, exact)
    assert model[0].bias_orig is bias
    model(x).sum().backward()
    assert int((model[0].bias_orig.grad == 0).sum()) == 3


def test_attributes_stay():
    model = nn.Sequential(zeros(nn.Linear(8, 8), 0.9))
    model[0].is_head = True
    sparsify(model, torch.randn(4, 8))
    assert model[0].is_head is True


def test_gradients_by_autocast_are_the_same():
    model, x = mlp(), torch.randn(8, 24)
    twin = copy.deepcopy(model).eval()
    with torch.autocast("cpu", torch.bfloat16):
        sparsify(model, x)
        got, expected = output(model, x), output(twin, x)
    assert got.dtype == expected.dtype == torch.bfloat16
    assert_close(got, expected, rtol=5e-2, atol=5e-2)
