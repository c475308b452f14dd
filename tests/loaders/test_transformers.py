"""transformers: `save_pretrained` and `from_pretrained` of a model that contains the layer."""

import json
import os

import pytest
import torch
from small import OTHERS, REFUSED, WIRINGS, assert_same, make_layer
from torch import nn
from torch.testing import assert_close

pytestmark = pytest.mark.loaders
os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

kinds = pytest.mark.parametrize("kind", ["plain", "named"])


class Config(transformers.PretrainedConfig):
    model_type = "edges"

    def __init__(self, kind="plain", wiring="this", **options):
        self.kind, self.wiring = kind, wiring
        super().__init__(**options)


class Model(transformers.PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.block = nn.ModuleDict({"edges": make_layer(config.kind, config.wiring, seed=3)})
        self.head = nn.Linear(4, 3)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, x):
        return self.head(self.block["edges"](x).relu())


def make(kind="plain", wiring="this"):
    model = Model(Config(kind, wiring))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


LOADS = {
    "as it is": {},
    "a device map": {"device_map": {"": "cpu"}},
    "each module": {"device_map": {"block": "cpu", "head": "cpu"}},
    "on disk": {"device_map": {"block": "disk", "head": "cpu"}},
}
loads = pytest.mark.parametrize("load", LOADS)


def loaded(folder, load="as it is", **options):
    options = {**LOADS[load], "offload_folder": folder + "/offload", **options}
    return Model.from_pretrained(folder, **options)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "model")


@loads
@kinds
def test_pretrained_model_computes_as_the_saved_one(kind, load, folder):
    saved = make(kind)
    saved.save_pretrained(folder)
    model = loaded(folder, load)
    x = torch.randn(6, 5)
    assert_close(model(x), saved(x), rtol=0, atol=0)
    assert model.block["edges"].in_names == saved.block["edges"].in_names


@kinds
def test_nothing_is_reported_as_missing(kind, folder):
    make(kind).save_pretrained(folder)
    model, report = Model.from_pretrained(folder, output_loading_info=True)
    assert {key: len(found) for key, found in report.items()} == dict.fromkeys(report, 0)
    assert list(model.buffers()) == []
    assert {name for name, _ in model.named_parameters()} == {
        "block.edges.weight",
        "block.edges.bias",
        "head.weight",
        "head.bias",
    }


@kinds
def test_sharded_model_loads(kind, folder):
    saved = make(kind)
    saved.save_pretrained(folder, max_shard_size=40)  # bytes
    assert sum(name.endswith(".safetensors") for name in os.listdir(folder)) > 2
    assert_same(loaded(folder), saved)


def test_loaded_model_trains_and_is_saved_again(folder):
    make().save_pretrained(folder)
    model = loaded(folder)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(6, 5)).square().sum().backward()
    optimizer.step()
    model.save_pretrained(folder + "/again")
    assert_same(loaded(folder + "/again"), model)


def test_half_type_is_that_of_the_parameters_alone(folder):
    saved = make()
    saved.save_pretrained(folder)
    model = loaded(folder, dtype=torch.float16)
    assert model.block["edges"].weight.dtype == torch.float16
    assert_close(model.block["edges"].edge_index, WIRINGS["this"])
    assert_close(model.block["edges"].weight, saved.block["edges"].weight.half())


@loads
@pytest.mark.parametrize("wiring", OTHERS)
def test_another_wiring_is_refused(wiring, load, folder):
    make(wiring=wiring).save_pretrained(folder)
    with pytest.raises((RuntimeError, ValueError), match=REFUSED):
        model = loaded(folder, load, config=Config())
        model(torch.randn(6, 5))  # another number of weights on disk is seen when they are read


@pytest.mark.parametrize("wiring", ["another order", "another edge"])
def test_another_wiring_is_refused_though_other_sizes_may_differ(wiring, folder):
    make(wiring=wiring).save_pretrained(folder)
    with pytest.raises(RuntimeError, match="another wiring"):
        loaded(folder, config=Config(), ignore_mismatched_sizes=True)


def test_checkpoint_without_a_wiring_is_refused_or_reported(folder):
    saved = make()
    saved.save_pretrained(folder)
    bare = {k: v for k, v in saved.state_dict().items() if not k.endswith(("edge_index", "shape"))}
    safetensors.save_file(bare, folder + "/model.safetensors", metadata={"format": "pt"})
    try:
        _, report = Model.from_pretrained(folder, output_loading_info=True)
    except RuntimeError as error:  # transformers 5 fills in any numbers
        assert "may end here too, as loaders fill in any numbers" in str(error)
    else:  # transformers 4 warns of these
        assert set(report["missing_keys"]) == {"block.edges.edge_index", "block.edges.shape"}


def test_checkpoint_of_torch_loads_into_pretrained_and_back(folder):
    """The keys are those of every state dict: nothing is renamed."""
    saved = make("named")
    saved.save_pretrained(folder)
    state = safetensors.load_file(folder + "/model.safetensors")
    assert set(state) == set(saved.state_dict())
    model = make("named")
    model.load_state_dict(state)
    assert_same(model, saved)
    assert json.load(open(folder + "/config.json"))["wiring"] == "this"
