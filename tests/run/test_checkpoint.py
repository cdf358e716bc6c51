"""Each promise of checkpoint.py by itself, without a training; those that need one are in test_reliability.py."""

import errno
import os
import re
import resource
import warnings
import zipfile

import pytest
import torch
from helpers import tiny
from safetensors import safe_open
from safetensors.torch import save_file

from carvana_lib.base.errors import CarvanaError, CarvanaWarning
from carvana_lib.run.checkpoint import load_checkpoint, save_checkpoint
from carvana_lib.run.weights import (
    PRETRAINED,
    best_dice,
    load_model,
    load_pretrained,
    save_weights,
    start_weights,
    weights_file,
)

STATE = {
    **{"parts": {}, "epoch": 1, "step": 2, "steps_per_epoch": 3},
    **{"loss_sum": 0.5, "seconds": 1.5, "history": [{"dice": 0.5}]},
}


def model_of(config, seed=0):
    torch.manual_seed(seed)
    return config.build_model()


def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Weights.


def test_weights_come_back_with_settings_and_notes_ready_to_predict(tmp_path):
    model = model_of(tiny())
    file = tmp_path / "new" / "weights.safetensors"
    save_weights(file, model, tiny(), dice="0.5")
    again, config = load_model(file)
    assert equal(model, again)
    assert config == tiny()
    assert not again.training
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["dice"] == "0.5"
    on_meta, _ = load_model(file, "meta")
    assert {parameter.device.type for parameter in on_meta.parameters()} == {"meta"}


@pytest.mark.parametrize("change", ["value", "name", "type", "shape"])
def test_the_sum_notices_any_change_of_the_tensors(tmp_path, change):
    file = tmp_path / "weights.safetensors"
    save_weights(file, model_of(tiny()), tiny())
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    first, weight = "stem.0.weight", tensors["stem.0.weight"]
    if change == "value":
        weight[-1, -1, -1, -1] += 1
    elif change == "name":
        tensors["stem.0.other"] = tensors.pop(first)
    elif change == "type":
        tensors[first] = weight.view(torch.int32)
    else:
        tensors[first] = weight.reshape(-1)
    save_file(tensors, file, metadata)
    with pytest.raises(CarvanaError, match=r"weights\.safetensors is damaged"):
        load_model(file)


def test_weights_without_a_checksum_are_refused(tmp_path):
    model, file = model_of(tiny()), tmp_path / "weights.safetensors"
    save_file(model.state_dict(), file, {"config": tiny().to_json()})
    with pytest.raises(CarvanaError, match=r"was not written by carvana_lib: .* no checksum"):
        load_model(file)


def test_weights_that_are_not_ours_say_why(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(CarvanaError, match="has no config"):
        load_model(file)
    file.write_bytes(b"not weights")
    with pytest.raises(CarvanaError, match="holds no usable weights"):
        load_model(file)
    save_weights(file, model_of(tiny()), tiny(base_channels=5))
    # The last line of what PyTorch says names a tensor and both shapes.
    with pytest.raises(CarvanaError, match=r"does not fit the net of its own config \(size mismatch .*\): get"):
        load_model(file)


def test_which_file_a_name_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights_file("small") == PRETRAINED / "small.safetensors"
    (tmp_path / "small").mkdir()
    with pytest.raises(CarvanaError, match=r"small holds no best\.safetensors: train for an epoch first"):
        weights_file("small")
    (tmp_path / "small" / "best.safetensors").touch()
    assert weights_file("small").resolve() == tmp_path / "small" / "best.safetensors"
    (tmp_path / "own.safetensors").touch()
    assert weights_file(tmp_path / "own.safetensors") == tmp_path / "own.safetensors"
    with pytest.raises(CarvanaError, match=r"no weights none: .* small"):
        weights_file("none")
    with pytest.raises(CarvanaError, match=r"cannot look for weights at a+ \(File name too long\): check its folders"):
        weights_file("a" * 300)


def test_weights_that_come_along_are_loaded_by_name(tmp_path, monkeypatch):
    # A file of that name where the learner works must not be taken instead.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    model, config = load_pretrained("small")
    assert equal(model, load_model(PRETRAINED / "small.safetensors")[0])
    assert config.patch == model.patch
    with pytest.raises(CarvanaError, match="carvana_lib has no weights named 'big': choose one of small"):
        load_pretrained("big")


# Weights to start from.


@pytest.mark.parametrize("patch", [1, 2])
def test_a_training_starts_from_the_given_net(tmp_path, patch):
    old, new = (model_of(tiny(patch=patch), seed=seed).eval() for seed in (0, 1))
    save_weights(tmp_path / "old.safetensors", old, tiny(patch=patch))
    photo = torch.rand(1, 3, 16, 16)
    assert not torch.allclose(new(photo), old(photo))
    start_weights(new, tmp_path / "old.safetensors")
    assert torch.equal(new(photo), old(photo))


@pytest.mark.parametrize(("before", "after"), [({}, {"patch": 2}), ({"patch": 2}, {}), ({"depth": 3}, {})])
def test_a_net_of_another_shape_is_no_start(tmp_path, before, after):
    save_weights(tmp_path / "old.safetensors", model_of(tiny(**before)), tiny(**before))
    with pytest.raises(CarvanaError, match=r"another shape \((size mismatch|Unexpected key).*\): set base_channels"):
        start_weights(model_of(tiny(**after)), tmp_path / "old.safetensors")


# The best epoch's Dice.


def test_dice_of_the_best_weights(tmp_path):
    file = tmp_path / "best.safetensors"
    assert best_dice(tmp_path) == -1
    save_weights(file, model_of(tiny()), tiny(), dice="0.75")
    assert best_dice(tmp_path) == 0.75
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    damaged = {"a bit": bytes(content), "words": b"not weights", "nothing": b""}
    save_weights(file, model_of(tiny()), tiny(), dice="much")
    damaged["no number"] = file.read_bytes()
    save_weights(file, model_of(tiny()), tiny())
    damaged["no Dice"] = file.read_bytes()
    for bad in damaged.values():
        file.write_bytes(bad)
        with pytest.warns(CarvanaWarning, match=r"best\.safetensors is not used .* the next epoch replaces it"):
            assert best_dice(tmp_path) == -1


@pytest.mark.parametrize(
    "failure", [OSError(errno.EIO, "Input/output error"), PermissionError(13, "Permission denied")]
)
def test_best_weights_that_cannot_be_read_now_are_not_given_up(tmp_path, monkeypatch, failure):
    save_weights(tmp_path / "best.safetensors", model_of(tiny()), tiny(), dice="0.75")

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr("carvana_lib.run.weights.safe_open", fail)
    for read in (best_dice, load_model):
        with pytest.raises(CarvanaError, match=r"best\.safetensors cannot be read .*look at its permissions"):
            read(tmp_path)


@pytest.mark.parametrize("where", ["carvana_lib.run.weights.safe_open", "torch.nn.Module.load_state_dict"])
def test_weights_are_not_damaged_where_memory_is_full(tmp_path, monkeypatch, where):
    save_weights(tmp_path / "best.safetensors", model_of(tiny()), tiny(), dice="0.75")

    def full(*_, **__):
        raise RuntimeError("unable to mmap 292000000 bytes: Cannot allocate memory (12)")

    monkeypatch.setattr(where, full)
    with pytest.raises(RuntimeError, match="Cannot allocate memory"):
        load_model(tmp_path)


# Checkpoints.


def test_the_newest_checkpoint_is_read_and_the_one_before_is_kept(tmp_path):
    assert load_checkpoint(tmp_path) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in (1, 2, 3):
            save_checkpoint(tmp_path, {**STATE, "step": step, "weights": torch.arange(3)})
            state = load_checkpoint(tmp_path)
            assert state["step"] == step
            assert state["weights"].tolist() == [0, 1, 2]
        # Killed between the two renames, a run has only this one.
        (tmp_path / "last.pt").unlink()
        assert load_checkpoint(tmp_path)["step"] == 2


def test_a_damaged_checkpoint_falls_back_and_says_so(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, {**STATE, "step": step})
    (tmp_path / "last.pt").write_bytes(b"cut short")
    with pytest.warns(CarvanaWarning, match=r"last\.pt is damaged .*going on from .*previous\.pt") as caught:
        assert load_checkpoint(tmp_path)["step"] == 1
    # The warning points at the caller.
    assert caught[0].filename == __file__
    (tmp_path / "last.pt").write_bytes(b"cut short")
    (tmp_path / "previous.pt").write_bytes(b"")
    with pytest.raises(CarvanaError, match=r"last\.pt is damaged .* and .*previous\.pt is damaged .*train in another"):
        load_checkpoint(tmp_path)
    (tmp_path / "last.pt").unlink()
    with pytest.raises(CarvanaError, match=r"previous\.pt is damaged"):
        load_checkpoint(tmp_path)


WRONG = [
    {"epoch": "x"},
    {"epoch": -1, "history": []},
    {"step": -1},
    {"step": 1.5},
    {"steps_per_epoch": True},
    {"history": ({"dice": 0.5},)},
    {"epoch": 2, "history": [{"dice": 0.5}, {"loss": 0.5}]},
    {"history": []},
    {"history": [{"epoch": 1}]},
    {"history": [1]},
    {"parts": 1},
    {"loss_sum": None},
    {"seconds": 2},
]


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"step": 1},
        {k: v for k, v in STATE.items() if k != "loss_sum"},
        {k: v for k, v in STATE.items() if k != "seconds"},
        *({**STATE, **wrong} for wrong in WRONG),
    ],
)
def test_another_file_of_pytorch_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(CarvanaError, match="is not a checkpoint of carvana_lib"):
        load_checkpoint(tmp_path)


def test_the_first_checkpoint_of_all_is_one(tmp_path):
    state = {"parts": {}, "epoch": 0, "step": 0, "steps_per_epoch": 0, "loss_sum": 0.0, "seconds": 0.0, "history": []}
    save_checkpoint(tmp_path, state)
    assert load_checkpoint(tmp_path) == {**state, "fell_back": False}


def test_a_checkpoint_may_hold_more_than_is_needed(tmp_path):
    torch.save({**STATE, "new": 1}, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path)["new"] == 1


@pytest.mark.parametrize("fault", ["bit", "folder"])
def test_what_torch_load_does_not_look_at(tmp_path, fault):
    save_checkpoint(tmp_path, {**STATE, "weights": torch.arange(100.0)})
    file = tmp_path / "last.pt"
    if fault == "bit":
        content = bytearray(file.read_bytes())
        place = content.index(torch.arange(100.0).numpy().tobytes())
        content[place + 40] ^= 1
        file.write_bytes(content)
    else:
        with zipfile.ZipFile(file) as archive:
            entries = [(info, archive.read(info)) for info in archive.infolist()]
        with zipfile.ZipFile(file, "w") as archive:
            for info, data in entries:
                info.external_attr |= 0x10 if info.filename.endswith("data/0") else 0
                archive.writestr(info, data)
    torch.load(file, weights_only=True)
    with pytest.raises(CarvanaError, match=r"last\.pt is damaged \(.*data/0 is not as it was written\)"):
        load_checkpoint(tmp_path)


def test_a_write_that_fails_keeps_both_checkpoints(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, {**STATE, "step": step})
    with pytest.raises(AttributeError, match="local"):
        save_checkpoint(tmp_path, {**STATE, "bad": lambda: None})
    assert sorted(os.listdir(tmp_path)) == ["last.pt", "previous.pt"]
    assert load_checkpoint(tmp_path)["step"] == 2


def test_a_config_that_lies_about_its_net_takes_no_memory(tmp_path):
    save_weights(tmp_path / "w.safetensors", tiny().build_model(), tiny(base_channels=1024, depth=8, size=(256, 256)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CarvanaError, match="does not fit the net of its own config"):
        load_model(tmp_path / "w.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_weights_may_be_read_by_those_who_may_read_the_rest(tmp_path):
    save_weights(tmp_path / "w.safetensors", tiny().build_model(), tiny())
    (tmp_path / "other").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_after_a_fallback_the_spare_is_the_good_one(tmp_path):
    for step in (1, 2):
        save_checkpoint(tmp_path, {**STATE, "step": step})
    (tmp_path / "last.pt").write_bytes(b"damaged")
    with pytest.warns(CarvanaWarning, match="going on from the one before"):
        state = load_checkpoint(tmp_path)
    assert state["step"] == 1
    save_checkpoint(tmp_path, {**STATE, "step": 3}, keep=not state["fell_back"])
    assert not load_checkpoint(tmp_path)["fell_back"]
    (tmp_path / "last.pt").write_bytes(b"damaged again")
    with pytest.warns(CarvanaWarning, match="going on from the one before"):
        assert load_checkpoint(tmp_path)["step"] == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
    ],
)
@pytest.mark.parametrize("where", ["torch.load", "zipfile.ZipFile"])
def test_what_cannot_be_read_just_now_is_not_called_damaged(tmp_path, monkeypatch, failure, reason, where):
    for step in (1, 2):
        save_checkpoint(tmp_path, {**STATE, "step": step})

    def fail(*_, **__):
        raise failure

    with monkeypatch.context() as failing:
        failing.setattr(where, fail)
        with pytest.raises(CarvanaError, match=rf"last\.pt cannot be read now \({reason}\): end other programs"):
            load_checkpoint(tmp_path)
    assert load_checkpoint(tmp_path)["step"] == 2
    assert (tmp_path / "previous.pt").exists()


def test_a_packed_checkpoint_is_refused(tmp_path):
    """torch.save packs nothing; packed, a small file may hold many gigabytes."""
    save_checkpoint(tmp_path, STATE)
    whole = tmp_path / "last.pt"
    with zipfile.ZipFile(whole) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    with pytest.raises(CarvanaError, match=r"compressed, which torch\.save never does"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("changed", ["config", "dice"])
def test_the_sum_covers_settings_and_scores(tmp_path, changed):
    file = tmp_path / "w.safetensors"
    save_weights(file, tiny().build_model(), tiny(), dice="0.5")
    other = {"config": tiny(size=(64, 48)).to_json(), "dice": "0.6"}[changed]
    with safe_open(file, framework="pt") as opened:
        metadata = {**opened.metadata(), changed: other}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(tensors, file, metadata)
    with pytest.raises(CarvanaError, match="is damaged"):
        load_model(file)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_nothing_waits_for_weights_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(CarvanaError, match=r"no weights .*pipe"):
        load_model(tmp_path / "pipe.safetensors")


def test_a_checkpoint_named_as_weights_is_not_called_unusable(tmp_path):
    out = tmp_path / "run"
    save_checkpoint(out, STATE)
    save_weights(out / "best.safetensors", model_of(tiny()), tiny())
    (out / "config.json").write_text(tiny().to_json())
    (out / "metrics.csv").write_text("dice\n0.5\n")
    for name in ("last.pt", "config.json", "metrics.csv"):
        what = "is a checkpoint to resume from" if name == "last.pt" else "is not a .safetensors file"
        cure = f"{out / name} {what}, and not weights: name the run folder, {out}, or {out / 'best.safetensors'}"
        with pytest.raises(CarvanaError, match=re.escape(cure)) as error:
            load_model(out / name)
        assert "train again" not in str(error.value)
    # What it says to name is taken.
    assert load_model(out)[1] == load_model(out / "best.safetensors")[1]
    (out / "best.safetensors").unlink()
    with pytest.raises(CarvanaError, match=r"last\.pt is a checkpoint .*: name a run folder or a \.safetensors file"):
        load_model(out / "last.pt")
