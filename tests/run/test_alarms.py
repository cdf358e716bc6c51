"""Training that goes wrong says so."""

import re
import warnings

import numpy as np
import pytest
import torch
from helpers import assert_same, tiny, weights
from PIL import Image

from carvana_lib.base.errors import CarvanaError, CarvanaWarning
from carvana_lib.cli.main import main
from carvana_lib.images import read_mask
from carvana_lib.losses import LOSSES
from carvana_lib.run.alarms import check_epoch, check_losses, check_masks, check_settings
from carvana_lib.run.checkpoint import load_checkpoint
from carvana_lib.run.fit import fit
from carvana_lib.training import Trainer
from carvana_lib.unet import UNet

LEARNING = torch.tensor([[300, 100, 100, 500]])


def history(*losses: float, dice: float = 0.5) -> list[dict[str, float]]:
    return [{"epoch": float(n + 1), "loss": loss, "dice": dice} for n, loss in enumerate(losses)]


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", CarvanaWarning)
        yield


@pytest.mark.parametrize(("rate", "word"), [(0.5, "far above"), (1e-7, "far below")])
def test_a_learning_rate_far_off_is_named(rate, word):
    with pytest.warns(CarvanaWarning, match=rf"learning_rate={rate:g} is {word} what adamw learns with"):
        check_settings(tiny(learning_rate=rate), 4)


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize("rate", [1e-5, 1e-4, 2e-3, 1e-2])
def test_usual_settings_are_not(rate):
    check_settings(tiny(learning_rate=rate), 4)
    check_settings(tiny(learning_rate=rate, norm=None), 1)


@pytest.mark.parametrize(("changes", "at_once"), [({"batch_size": 1}, 1), ({"accumulate": 4}, 1)])
def test_batch_norm_over_one_photo_is_named(changes, at_once):
    with pytest.warns(CarvanaWarning, match="batch norm sees one photo at a time"):
        check_settings(tiny(**changes), at_once)


@pytest.mark.filterwarnings("ignore:batch norm sees one photo")
def test_batch_norm_over_one_value_is_refused_before_torch_refuses_it():
    def works(side: int) -> None:
        UNet(base_channels=4, depth=3).train()(torch.zeros(1, 3, side, 8))

    def allowed(side: int) -> None:
        check_settings(tiny(size=(8, side), depth=3), 1)

    for side in (9, 16):
        works(side)
        allowed(side)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        works(8)
    with pytest.raises(CarvanaError, match="batch norm cannot work on one photo"):
        allowed(8)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ((0.69, 0.69, 0.69), r"epoch 3: the loss does not fall \(0\.6900 at first, 0\.6900 now\): raise"),
        ((0.69, 0.68, 0.70, 0.9), r"epoch 4: the loss rose from 0\.6900 to 0\.9000: lower learning_rate"),
    ],
)
def test_a_loss_that_does_not_fall_is_named(losses, message):
    with pytest.warns(CarvanaWarning, match=message):
        check_epoch(tiny(), history(*losses), LEARNING)


@pytest.mark.usefixtures("no_warnings")
@pytest.mark.parametrize(
    "epochs", [history(0.69), history(0.69, 0.7), history(0.7, 0.6, 0.5), history(0.01, 0.01, 0.02, dice=0.98)]
)
def test_a_training_that_learns_or_has_learned_is_left_in_peace(epochs):
    check_epoch(tiny(), epochs, LEARNING)


@pytest.mark.parametrize(("counts", "word"), [([0, 0, 400, 600], "background"), ([400, 600, 0, 0], "car")])
def test_a_net_that_always_says_the_same_is_named(counts, word):
    with pytest.warns(CarvanaWarning, match=f"epoch 2: the net calls every validation photo {word} from edge to edge"):
        check_epoch(tiny(), history(0.7, 0.6), torch.tensor([counts, counts]))


def test_a_training_that_learns_nothing_says_so(carvana, tmp_path):
    config = tiny(epochs=3, learning_rate=2e-6, schedule="constant", ema_decay=0.0, norm=None)
    with pytest.warns(CarvanaWarning, match="epoch 3: the loss does not fall") as seen:
        fit(config, carvana, tmp_path / "run", progress=False)
    assert all("\n" not in str(one.message) for one in seen)


@pytest.mark.usefixtures("no_warnings")
def test_a_good_training_warns_of_nothing(carvana, tmp_path):
    fit(tiny(epochs=5), carvana, tmp_path / "run", progress=False)


@pytest.mark.parametrize(("value", "word"), [(0, "background"), (1, "car")])
def test_masks_of_one_class_are_refused_before_training(broken, tmp_path, value, word):
    for mask in (broken / "train_masks").iterdir():
        Image.new("1", Image.open(mask).size, value).save(mask)
    with pytest.raises(CarvanaError, match=f"every training mask is {word} alone: there is nothing to tell apart"):
        fit(tiny(batch_size=1), broken, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_masks_on_another_scale_are_recognised():
    masks = np.zeros((3, 8, 8), np.uint8)
    masks[:, 2:5] = 1
    with pytest.raises(CarvanaError, match="their highest value is 1: car must be 255"):
        check_masks(masks, "training")
    masks[2, 2:5] = 255
    check_masks(masks, "training")


@pytest.mark.parametrize("name", LOSSES)
def test_masks_of_0_to_255_are_refused_by_every_loss(name):
    logits, masks = torch.randn(2, 1, 16, 16), (torch.rand(2, 1, 16, 16) > 0.5).float()
    assert torch.isfinite(LOSSES[name](logits, masks))
    with pytest.raises(CarvanaError, match="reach 255: divide masks of 0 to 255 by 255"):
        LOSSES[name](logits, masks * 255)


def test_a_loss_below_0_names_the_photos(tmp_path):
    with pytest.raises(CarvanaError, match=r"fell below 0, to -3, in epoch 2 on the photos c d: only masks outside"):
        check_losses([0.5, -3.0], [["a", "b"], ["c", "d"]], 2, tmp_path)


def failing(monkeypatch, error: BaseException, at: int) -> None:
    real = Trainer.step

    def step(self, images, masks):
        if self.epochs_done * self.steps_per_epoch + self.steps_done == at:
            raise error
        return real(self, images, masks)

    monkeypatch.setattr(Trainer, "step", step)


def test_out_of_memory_names_what_to_try_and_the_run_goes_on(carvana, tmp_path, monkeypatch):
    config, out = tiny(log_every=1, checkpoint_minutes=0.0), tmp_path / "run"
    with monkeypatch.context() as patch:
        failing(patch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), at=7)
        with pytest.raises(CarvanaError) as caught:
            fit(config, carvana, out, progress=False)
    assert str(caught.value) == (
        "out of memory in epoch 2, step 3 with batch_size=4, 4 photos at a time, at 48x32: resume with recompute=True "
        "or accumulate=2 (batch norm then sees 2 photos), or train again from the start with batch_size=2 or "
        "size=24x16. "
        f"{out} holds epoch 2, step 2; --resume goes on from there (in a notebook: fit(..., resume=True))"
    )
    resumed = tiny(log_every=1, checkpoint_minutes=0.0, recompute=True)
    fit(resumed, carvana, out, resume=True, progress=False)
    fit(config, carvana, tmp_path / "whole", progress=False)
    ours, theirs = weights(out), weights(tmp_path / "whole")
    # Batch norm's running averages see each batch twice while activations are computed again.
    assert_same(*({name: part[name] for name in part if name.endswith("weight")} for part in (ours, theirs)))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    ],
)
def test_before_the_first_checkpoint_nothing_is_promised(carvana, tmp_path, monkeypatch, error):
    failing(monkeypatch, error, at=0)
    with pytest.raises(CarvanaError, match=r"out of memory in epoch 1, step 1 .*nothing was saved in .*run yet$"):
        fit(tiny(), carvana, tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "CUDA error: unspecified launch failure\nmore",
            r"the GPU failed in epoch 2, step 3 \(CUDA error: unspecified",
        ),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "the GPU failed"),
        ("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [1.2.3.4]", "another process"),
        ("InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx", "--no-compile"),
    ],
)
def test_a_device_or_process_that_is_gone_says_what_was_saved(carvana, tmp_path, monkeypatch, message, words):
    failing(monkeypatch, RuntimeError(message), at=7)
    with pytest.raises(CarvanaError, match=words + r".*run holds epoch 2, step 0; --resume goes on from there"):
        fit(tiny(), carvana, tmp_path / "run", progress=False)
    assert load_checkpoint(tmp_path / "run")["epoch"] == 1


def test_other_errors_stay_what_they_are(carvana, tmp_path, monkeypatch):
    failing(monkeypatch, RuntimeError("a mistake in the code"), at=0)
    with pytest.raises(RuntimeError, match="a mistake in the code"):
        fit(tiny(), carvana, tmp_path / "run", progress=False)


def test_rounding_below_zero_is_no_fault(tmp_path):
    check_losses([-1.2e-7], [["a"]], 1, tmp_path)
    with pytest.raises(CarvanaError, match="fell below 0"):
        check_losses([-0.01], [["a"]], 1, tmp_path)


def test_masks_of_either_kind_alone_are_called_so():
    masks = np.stack([np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)])
    for chosen, what in ((masks, "background or car"), (masks[:1], "background"), (masks[1:], "car")):
        with pytest.raises(CarvanaError, match=f"every training mask is {what} alone"):
            check_masks(chosen, "training")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_inverted_masks_are_hinted_at_in_one_line(broken, trained, tmp_path, capsys, command):
    for mask in (broken / "train_masks").iterdir():
        Image.fromarray(~read_mask(mask)).save(mask)
    options = {
        "train": ["--preset", "quick", "--epochs", "1", "--size", "48x32", "--base-channels", "4", "--batch-size", "1"],
        "evaluate": ["--weights", str(trained)],
    }
    out = ["--out", str(tmp_path / "run"), "--norm", "none"] if command == "train" else []
    assert main([command, "--data", str(broken), *options[command], *out]) == 0
    hints = [line for line in capsys.readouterr().err.splitlines() if "look inverted" in line]
    assert len(hints) == (2 if command == "train" else 1)  # training and validation masks
    for hint in hints:
        assert re.match(r"carvana: 1 of 1 masks look inverted, such as .*_mask\.gif: .*make car white", hint)
