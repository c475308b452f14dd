"""Lightning: checkpoints, `strict=False`, averaged weights, and processes that it spawns."""

import pytest
import torch
import torch.nn.functional as F
from small import KINDS, OTHERS, Model, assert_same, values
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

pytestmark = pytest.mark.loaders
lightning = pytest.importorskip("lightning")

kinds = pytest.mark.parametrize("kind", KINDS)


class Module(lightning.LightningModule):
    def __init__(self, kind="plain", wiring="this", seed=0):
        super().__init__()
        self.save_hyperparameters()
        self.model = Model(kind, wiring, seed)

    def forward(self, x):
        return self.model(x)

    def training_step(self, batch, _):
        return F.mse_loss(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


class TrainableOnly(Module):
    """Saves what was trained alone, as adapters do: the layer is frozen."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.strict_loading = False
        self.model.block.requires_grad_(False)

    def state_dict(self):
        return {k: v for k, v in super().state_dict().items() if "head" in k}


def batches():
    torch.manual_seed(5)
    return DataLoader(TensorDataset(torch.randn(16, 5), torch.randn(16, 3)), batch_size=4)


def trainer(folder, **options):
    return lightning.Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": 2,
            "default_root_dir": str(folder),
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )


def fitted(folder, module, **options):
    run = trainer(folder, **options)
    run.fit(module, batches())
    path = str(folder / "model.ckpt")
    run.save_checkpoint(path)
    return path


@kinds
def test_checkpoint_loads(kind, tmp_path):
    saved = Module(kind)
    path = fitted(tmp_path, saved)
    assert_same(Module.load_from_checkpoint(path, weights_only=True), saved)
    assert_same(Module.load_from_checkpoint(path, seed=1, strict=False), saved)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("wiring", OTHERS)
def test_another_wiring_is_refused(wiring, strict, tmp_path):
    path = fitted(tmp_path, Module(wiring=wiring))
    with pytest.raises(RuntimeError, match="`model.block.edges.edge_index` in this checkpoint is"):
        Module.load_from_checkpoint(path, wiring="this", strict=strict)


@kinds
def test_resumed_training_ends_where_it_would_have(kind, tmp_path):
    whole, resumed = Module(kind), Module(kind, seed=1)
    fitted(tmp_path, whole, max_epochs=4)
    path = fitted(tmp_path, Module(kind), max_epochs=2)
    trainer(tmp_path, max_epochs=4).fit(resumed, batches(), ckpt_path=path)
    assert_close(values(resumed), values(whole))


@kinds
def test_checkpoint_of_what_was_trained_alone_loads(kind, tmp_path):
    saved = TrainableOnly(kind)
    path = fitted(tmp_path, saved)
    layer = values(saved.model.block)
    loaded = TrainableOnly.load_from_checkpoint(path)
    assert_close(values(loaded.model.head), values(saved.model.head))
    assert_close(values(loaded.model.block), layer, rtol=0, atol=0)
    resumed = TrainableOnly(kind)
    trainer(tmp_path, max_epochs=3).fit(resumed, batches(), ckpt_path=path)


@kinds
def test_averaged_weights_are_those_of_the_checkpoint(kind, tmp_path):
    average = lightning.pytorch.callbacks.StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1)
    module = Module(kind)
    path = fitted(tmp_path, module, max_epochs=3, callbacks=[average])
    assert_same(Module.load_from_checkpoint(path), module)


def test_spawned_processes_train_as_one(tmp_path):
    """Each of the two sees every batch, so that the mean of their gradients is that of one."""
    spawned, alone = Module("named"), Module("named")
    fitted(tmp_path, spawned, strategy="ddp_spawn", devices=2, use_distributed_sampler=False)
    fitted(tmp_path, alone)
    assert_close(values(spawned), values(alone))
