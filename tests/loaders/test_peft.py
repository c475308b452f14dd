"""PEFT: adapters on layers beside this one, and adapters that hold this one whole."""

import pytest
import torch
from small import KINDS, OTHERS, Model, values
from torch.testing import assert_close

pytestmark = pytest.mark.loaders
peft = pytest.importorskip("peft")

kinds = pytest.mark.parametrize("kind", KINDS)
BESIDE = peft.LoraConfig(target_modules=["head"], init_lora_weights=False)


def trained(model):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.randn(6, 5)).square().sum().backward()
    optimizer.step()
    return model


@kinds
@pytest.mark.parametrize("low_memory", [False, True])
def test_adapter_loads_into_a_model_that_contains_the_layer(kind, low_memory, tmp_path):
    saved = trained(peft.get_peft_model(Model(kind), BESIDE))
    saved.save_pretrained(tmp_path)
    model = peft.PeftModel.from_pretrained(Model(kind), tmp_path, low_cpu_mem_usage=low_memory)
    x = torch.randn(6, 5)
    assert_close(model(x), saved(x))
    assert_close(values(model), values(saved))


@kinds
def test_adapter_is_merged(kind):
    model = trained(peft.get_peft_model(Model(kind), BESIDE))
    x = torch.randn(6, 5)
    y = model(x)
    assert_close(model.merge_and_unload()(x), y)


WHOLE = peft.LoraConfig(target_modules=["head"], modules_to_save=["edges"])


@pytest.mark.parametrize("kind", ["plain", "named"])
def test_adapter_that_holds_the_layer_whole_loads(kind, tmp_path):
    saved = trained(peft.get_peft_model(Model(kind), WHOLE))
    saved.save_pretrained(tmp_path)
    model = peft.PeftModel.from_pretrained(Model(kind), tmp_path)
    x = torch.randn(6, 5)
    assert not torch.allclose(saved(x), Model(kind)(x))
    assert_close(model(x), saved(x))


@pytest.mark.parametrize("wiring", OTHERS)
def test_adapter_with_a_layer_of_another_wiring_is_refused(wiring, tmp_path):
    peft.get_peft_model(Model(wiring=wiring), WHOLE).save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="another wiring"):
        peft.PeftModel.from_pretrained(Model(), tmp_path)


def test_adapter_on_the_layer_itself_says_what_it_can_adapt():
    with pytest.raises(ValueError, match="EdgeLinear.* is not supported"):
        peft.get_peft_model(Model(), peft.LoraConfig(target_modules=["edges"]))
