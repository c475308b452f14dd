"""accelerate: device maps, weights left on disk, and what a training script saves."""

import pytest
import torch
from small import KINDS, OTHERS, REFUSED, Model, assert_same, values
from torch.testing import assert_close

pytestmark = pytest.mark.loaders
accelerate = pytest.importorskip("accelerate")

MAPS = {
    "one device": {"": "cpu"},
    "each module": {"block": "cpu", "head": "cpu"},
    "auto": "auto",
    "on disk": {"block": "disk", "head": "cpu"},
}
maps = pytest.mark.parametrize("device_map", MAPS)
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "checkpoint")


def empty_model(kind, wiring="this"):
    if kind == "signed":  # rules need values
        return Model(kind, wiring, seed=1).to("meta")
    with accelerate.init_empty_weights():
        return Model(kind, wiring, seed=1)


def load(model, folder, device_map):
    return accelerate.load_checkpoint_and_dispatch(
        model, folder, device_map=MAPS[device_map], offload_folder=folder + "/offload"
    )


@maps
@kinds
@pytest.mark.parametrize("empty", [True, False])
def test_dispatched_model_computes_as_the_saved_one(kind, device_map, empty, folder):
    saved = Model(kind)
    accelerate.Accelerator().save_model(saved, folder)
    model = empty_model(kind) if empty else Model(kind, seed=1)
    model = load(model, folder, device_map)
    x = torch.randn(6, 5)
    assert_close(model(x), saved(x), rtol=0, atol=0)
    assert_close(model(x), saved(x), rtol=0, atol=0)  # weights on disk are read again


@maps
@kinds
@pytest.mark.parametrize("wiring", OTHERS)
def test_another_wiring_is_refused(wiring, kind, device_map, folder):
    accelerate.Accelerator().save_model(Model(kind, wiring), folder)
    with pytest.raises((RuntimeError, ValueError), match=REFUSED):
        load(empty_model(kind), folder, device_map)


def test_another_rule_is_refused(folder):
    saved = Model("signed")
    saved.block["edges"].parametrizations.weight[0].signs.neg_()
    accelerate.Accelerator().save_model(saved, folder)
    for device_map in MAPS:
        with pytest.raises(
            RuntimeError, match="`signs` in this checkpoint is that of another rule"
        ):
            load(empty_model("signed"), folder, device_map)


@kinds
def test_sharded_checkpoint_without_a_device_map_loads(kind, folder):
    saved, model = Model(kind), Model(kind, seed=1)
    accelerate.Accelerator().save_model(saved, folder, max_shard_size=64)  # bytes
    accelerate.load_checkpoint_in_model(model, folder, device_map={"": "cpu"})
    assert_same(model, saved)


@kinds
def test_offloaded_model_computes_the_same(kind, folder):
    saved = Model(kind)
    x = torch.randn(6, 5)
    y = saved(x)
    assert_close(accelerate.cpu_offload(Model(kind), "cpu")(x), y, rtol=0, atol=0)
    assert_close(accelerate.disk_offload(Model(kind), folder, "cpu")(x), y, rtol=0, atol=0)


@kinds
def test_state_of_a_training_script_is_saved_and_loaded(kind, folder):
    accelerator = accelerate.Accelerator(cpu=True)
    model = Model(kind)
    model, optimizer = accelerator.prepare(model, torch.optim.Adam(model.parameters()))
    model(torch.randn(6, 5)).sum().backward()
    optimizer.step()
    accelerator.save_state(folder)
    saved = values(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    accelerator.load_state(folder)
    assert_close(values(accelerator.unwrap_model(model)), saved, rtol=0, atol=0)
