import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import assert_same, cut, read_metrics, shrink, tiny, weights, write_pair
from safetensors.torch import load_file

from carvana_lib.base.devices import make_accelerator
from carvana_lib.base.errors import CarvanaError
from carvana_lib.config import TrainConfig
from carvana_lib.data import list_pairs
from carvana_lib.evaluation import baselines
from carvana_lib.losses import LOSSES
from carvana_lib.run.checkpoint import load_checkpoint
from carvana_lib.run.fit import epoch_order, fit, open_datasets
from carvana_lib.run.stopping import stop_on_signal
from carvana_lib.run.weights import load_model
from carvana_lib.training import Trainer


def test_training_beats_the_baselines(trained, carvana):
    config = TrainConfig.from_json((trained / "config.json").read_text())
    train, validation = open_datasets(config, carvana, progress=False)
    rows = read_metrics(trained)
    best = max(float(row["dice"]) for row in rows)
    assert best > 0.95
    assert best > max(row["dice"] for row in baselines(train, validation, progress=False).values()) + 0.05
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 2
    assert [row["epoch"] for row in rows] == [str(epoch + 1) for epoch in range(20)]


def test_the_run_folder(trained):
    assert {entry.name for entry in trained.iterdir()} == {
        "config.json",
        "metrics.csv",
        "last.pt",
        "previous.pt",
        "best.safetensors",
        "tensorboard",
    }
    assert any("tfevents" in entry.name for entry in (trained / "tensorboard").iterdir())
    assert load_model(trained)[1] == TrainConfig.from_json((trained / "config.json").read_text())


def test_the_best_weights_are_those_of_the_best_epoch(trained, carvana):
    from carvana_lib.data import CarvanaDataset
    from carvana_lib.evaluation import evaluate

    model, config = load_model(trained)
    scores = evaluate(model, CarvanaDataset(list_pairs(carvana, [1]), config.size), progress=False)
    best = max(float(row["dice"]) for row in read_metrics(trained))
    assert scores.summary()["dice"] == pytest.approx(best, abs=1e-9)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(carvana, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(tiny(epochs=1, seed=seed, colour=0.2, rotate=5.0), carvana, tmp_path / name, progress=False)
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not torch.equal(weights(tmp_path / "a")["head.weight"], weights(tmp_path / "c")["head.weight"])


CHILD = """
import os, signal, sys
from helpers import tiny
from carvana_lib.run.fit import fit
from carvana_lib.training import Trainer

step = Trainer.step
def killed_at(self, *batch):
    if self.epochs_done * self.steps_per_epoch + self.steps_done == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *batch)
Trainer.step = killed_at
fit(tiny(epochs=3, log_every=2, checkpoint_minutes=0.0, colour=0.1), {data!r}, {out!r}, resume=True, progress=False)
"""


def run_child(data: Path, out: Path, kill_at: int) -> subprocess.CompletedProcess:
    code = CHILD.format(kill_at=kill_at, data=str(data), out=str(out))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=2500)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_training_killed_at_any_step_resumes_to_the_bit(carvana, tmp_path):
    config = tiny(epochs=3, log_every=2, checkpoint_minutes=0.0, colour=0.1)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    history = fit(config, carvana, whole, progress=False)
    # Step 3 lies between two checkpoints, in the first epoch of five steps; 8 in the second.
    for kill_at in (3, 8):
        assert run_child(carvana, cut, kill_at).returncode == -signal.SIGKILL
        assert load_checkpoint(cut)["step"] in (2, 3)
    resumed = fit(config, carvana, cut, resume=True, progress=False)
    assert_same(weights(whole), weights(cut))
    assert_same(load_file(whole / "best.safetensors"), load_file(cut / "best.safetensors"))
    for key in ("epoch", "loss", "dice", "learning_rate"):
        assert [row[key] for row in resumed] == [row[key] for row in history]


def test_a_finished_run_resumes_to_itself(trained, carvana):
    before = (trained / "best.safetensors").read_bytes()
    config = TrainConfig.from_json((trained / "config.json").read_text())
    history = fit(config, carvana, trained, resume=True, progress=False)
    assert len(history) == config.epochs
    assert (trained / "best.safetensors").read_bytes() == before


def test_a_second_signal_interrupts_at_once():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signal() as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt, match="stopped at once"):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_existing_run_is_not_overwritten(trained, carvana, tmp_path):
    config = TrainConfig.from_json((trained / "config.json").read_text())
    with pytest.raises(CarvanaError, match="exists: --resume goes on with it"):
        fit(config, carvana, trained, progress=False)
    with pytest.raises(CarvanaError, match="other settings"):
        fit(replace(config, seed=5), carvana, trained, resume=True, progress=False)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(CarvanaError, match="is not a run folder"):
        fit(config, carvana, tmp_path, resume=True, progress=False)


def test_a_resumed_run_needs_the_photos_it_started_with(broken, tmp_path):
    config = tiny(epochs=1, batch_size=1)
    fit(config, broken, tmp_path / "run", progress=False)
    write_pair(broken, 13, 1)
    with pytest.raises(CarvanaError, match="are not those the run started with"):
        fit(config, broken, tmp_path / "run", resume=True, progress=False)


def test_a_loss_that_is_not_finite_names_the_photos_and_keeps_the_run(carvana, tmp_path, monkeypatch):
    config = tiny(epochs=3, log_every=1)
    real = Trainer.step

    def poisoned(self, images, masks):
        if (self.epochs_done, self.steps_done) == (1, 2):
            with torch.no_grad():
                self.model.head.bias.fill_(float("nan"))
        return real(self, images, masks)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(CarvanaError, match=r"the loss became nan in epoch 2 on the photos 00000000000") as caught:
        fit(config, carvana, tmp_path / "run", progress=False)
    train, _ = open_datasets(config, carvana, progress=False)
    steps = len(train) // config.batch_size
    batch = epoch_order(len(train), config.seed, 7 // steps)[(7 % steps) * 4 :][:4]
    assert all(train.pairs[i].name in str(caught.value) for i in batch)
    for tensor in [*weights(tmp_path / "run").values(), *load_file(tmp_path / "run" / "best.safetensors").values()]:
        assert torch.isfinite(tensor.float()).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: next((data / "train").glob("*c_01.jpg")).write_text("text"), r"c_01\.jpg is not an image"),
        (lambda data: next((data / "train_masks").glob("*c_01*")).unlink(), r"c_01\.jpg has no mask"),
        (lambda data: cut(next((data / "train").glob("*b_01.jpg"))), r"b_01\.jpg is damaged .*truncated"),
        (lambda data: shrink(next((data / "train_masks").glob("*b_01*"))), r"b_01_mask\.gif is 8x8 but its photo"),
    ],
)
def test_unusable_data_stop_training_before_it_starts(broken, tmp_path, damage, message):
    damage(broken)
    with pytest.raises(CarvanaError, match=message):
        fit(tiny(), broken, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_validation_cars_are_never_trained_on(carvana):
    train, validation = open_datasets(tiny(), carvana, progress=False)
    assert {pair.fold for pair in train.pairs} == {2, 3, 4, 5, 6}
    assert {pair.fold for pair in validation.pairs} == {1}
    few, _ = open_datasets(tiny(train_cars=2), carvana, progress=False)
    assert len({pair.car for pair in few.pairs}) == 2
    assert len(few) == 8


def test_an_epoch_uses_every_photo_once_in_a_new_order():
    first, second = epoch_order(50, 0, 0), epoch_order(50, 0, 1)
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != second.tolist() != epoch_order(50, 1, 1).tolist()


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam", "schedule": "constant", "ema_decay": 0.0}, {"loss": "boundary"}]
)
def test_other_settings_train(carvana, tmp_path, settings):
    history = fit(tiny(epochs=1, **settings), carvana, tmp_path / "run", progress=False)
    assert history[0]["loss"] < 10


def test_the_callback_sees_the_history_grow(carvana, tmp_path):
    lengths = []
    fit(tiny(), carvana, tmp_path / "run", progress=False, on_epoch=lambda history: lengths.append(len(history)))
    assert lengths == [1, 2]


def test_a_damaged_checkpoint_is_named(carvana, tmp_path):
    fit(tiny(epochs=1), carvana, tmp_path / "run", progress=False)
    last = tmp_path / "run" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CarvanaError, match=r"last\.pt is damaged"):
        fit(tiny(epochs=1), carvana, tmp_path / "run", resume=True, progress=False)


def test_training_starts_from_the_weights_it_is_given(trained, carvana, tmp_path):
    fresh = fit(tiny(epochs=1, learning_rate=1e-5), carvana, tmp_path / "fresh", progress=False)
    started = fit(tiny(epochs=1, learning_rate=1e-5, start=str(trained)), carvana, tmp_path / "started", progress=False)
    assert fresh[-1]["dice"] < 0.8
    assert started[-1]["dice"] > 0.9


def test_weights_of_another_net_are_refused_as_a_start(trained, carvana, tmp_path):
    with pytest.raises(CarvanaError, match="its net has another shape"):
        fit(tiny(start=str(trained), depth=3), carvana, tmp_path / "run", progress=False)
    with pytest.raises(CarvanaError, match="no weights"):
        fit(tiny(start="nowhere"), carvana, tmp_path / "other", progress=False)


def stop_after_one(history):
    raise KeyboardInterrupt


def start_and_stop(root: Path, out: Path, **changes) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(tiny(**changes), root, out, progress=False, on_epoch=stop_after_one)


def test_a_resumed_run_has_the_photos_and_steps_it_began_with(broken, tmp_path):
    write_pair(broken, 21, 1)
    for view in (2, 3):
        write_pair(broken, 12, view)
    start_and_stop(broken, tmp_path / "a")
    start_and_stop(broken, tmp_path / "b")
    with pytest.raises(CarvanaError, match=r"not those the run started with \(batch size: 3 then, 2 now\)"):
        fit(tiny(accumulate=2), broken, tmp_path / "a", resume=True, progress=False)
    (tmp_path / "a" / "config.json").write_text(tiny(epochs=4).to_json())
    with pytest.raises(CarvanaError, match="total steps: 2 then, 4 now"):
        fit(tiny(epochs=4), broken, tmp_path / "a", resume=True, progress=False)
    write_pair(broken, 13, 1)
    with pytest.raises(CarvanaError, match="photos: 3 then, 4 now"):
        fit(tiny(), broken, tmp_path / "b", resume=True, progress=False)


def test_the_checkpoint_of_another_net_is_named(carvana, tmp_path):
    start_and_stop(carvana, tmp_path / "a")
    start_and_stop(carvana, tmp_path / "b", base_channels=2)
    shutil.copy(tmp_path / "b" / "last.pt", tmp_path / "a" / "last.pt")
    with pytest.raises(CarvanaError, match=r"checkpoint in .*a belongs to another net \(model\)"):
        fit(tiny(), carvana, tmp_path / "a", resume=True, progress=False)


def test_a_run_goes_on_where_the_loss_has_to_be_scaled(carvana, tmp_path, monkeypatch):
    start_and_stop(carvana, tmp_path)

    def with_scaler(*arguments):
        accelerator = make_accelerator(*arguments)
        accelerator.scaler = torch.amp.GradScaler("cpu")
        return accelerator

    monkeypatch.setattr("carvana_lib.run.fit.make_accelerator", with_scaler)
    assert len(fit(tiny(), carvana, tmp_path, resume=True, progress=False)) == 2


def test_infinite_weights_are_never_kept(carvana, tmp_path, monkeypatch):
    real, calls = LOSSES["bce+dice"], []

    def overflowing(logits, targets):
        calls.append(1)
        # The root's gradient at 0 is infinite, its value is not.
        return real(logits, targets) + (0 * torch.sqrt((0 * logits).sum()) if len(calls) in (5, 15) else 0)

    monkeypatch.setitem(LOSSES, "bce+dice", overflowing)
    steps = 20 // 4
    with pytest.raises(CarvanaError, match="infinite in epoch 1: lower learning_rate; nothing was saved"):
        fit(tiny(), carvana, tmp_path / "a", progress=False)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["config.json"]
    assert len(calls) == steps
    with pytest.raises(CarvanaError, match="infinite in epoch 2: lower learning_rate; the last good state is kept"):
        fit(tiny(), carvana, tmp_path / "b", progress=False)
    assert load_checkpoint(tmp_path / "b")["epoch"] == 1


def test_a_net_without_memory_is_named(carvana, tmp_path, monkeypatch):
    def full(self):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TrainConfig, "build_model", full)
    with pytest.raises(CarvanaError, match="no memory for a net of base_channels=4 and depth=2"):
        fit(tiny(), carvana, tmp_path, progress=False)


def test_fewer_photos_than_parts(broken, tmp_path):
    write_pair(broken, 21, 1)
    with pytest.raises(CarvanaError, match=r"for 1 photos cannot be shared .*use fewer of them"):
        fit(tiny(accumulate=4), broken, tmp_path / "run", progress=False)


def test_other_photos_of_the_same_number_are_noticed(broken, tmp_path):
    start_and_stop(broken, tmp_path / "run", batch_size=1)
    for file in (*broken.glob("train/*_01.*"), *broken.glob("train_masks/*_01_mask.*")):
        file.rename(file.with_name(file.name.replace("_01", "_16")))
    with pytest.raises(CarvanaError, match=r"photo names: SHA-256 \w+ then, SHA-256 \w+ now"):
        fit(tiny(batch_size=1), broken, tmp_path / "run", resume=True, progress=False)


def test_seconds_of_an_epoch_are_those_before_a_stop_and_after(carvana, tmp_path, monkeypatch):
    real = Trainer.step

    def stopped_at_the_end(trainer, images, masks):
        loss = real(trainer, images, masks)
        if trainer.steps_done + 1 == trainer.steps_per_epoch:
            signal.raise_signal(signal.SIGINT)
        return loss

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", stopped_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny(epochs=1), carvana, tmp_path / "run", progress=False)
    state = load_checkpoint(tmp_path / "run")
    assert state["step"] == state["steps_per_epoch"]
    row = fit(tiny(epochs=1), carvana, tmp_path / "run", resume=True, progress=False)[0]
    assert row["seconds"] == state["seconds"] > 0
    assert row["images_per_second"] == state["step"] * state["batch_size"] / state["seconds"]


def test_a_checkpoint_that_finds_no_memory_is_not_another_nets(carvana, tmp_path, monkeypatch):
    start_and_stop(carvana, tmp_path / "run")

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "load_state_dict", full)
    with pytest.raises(CarvanaError, match="no memory for a net of base_channels=4"):
        fit(tiny(), carvana, tmp_path / "run", resume=True, progress=False)
