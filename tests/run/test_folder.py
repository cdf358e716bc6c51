"""Each promise of run/folder.py by itself, without a training; those that need one are in test_reliability.py."""

import re
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny

from carvana_lib.base.errors import CarvanaError, CarvanaWarning
from carvana_lib.base.files import temporary_file
from carvana_lib.extras.onnx import export_onnx
from carvana_lib.extras.submission import read_submission, write_submission
from carvana_lib.run.checkpoint import load_checkpoint, save_checkpoint
from carvana_lib.run.folder import (
    has_checkpoint,
    has_config,
    hold_run,
    prepare_run,
    put_aside,
    read_config,
    remove_run,
    replaced_run,
)
from carvana_lib.run.history import write_metrics
from carvana_lib.run.weights import best_dice, load_model, save_weights
from carvana_lib.unet import UNet

STATE = {
    **{"parts": {}, "epoch": 1, "step": 2, "steps_per_epoch": 3},
    **{"loss_sum": 0.5, "seconds": 1.5, "history": [{"dice": 0.5}]},
}


def start_run(out, config, step=None):
    out.mkdir(exist_ok=True)
    (out / "config.json").write_text(config.to_json())
    if step is not None:
        save_checkpoint(out, {**STATE, "step": step})


@pytest.mark.parametrize("resume", [False, True])
def test_a_new_run_needs_a_new_or_empty_folder(tmp_path, resume):
    assert prepare_run(tmp_path / "new", tiny(), resume) is None
    assert prepare_run(tmp_path, tiny(), resume) is None
    (tmp_path / "notes.txt").touch()
    for taken in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(CarvanaError, match="not a run folder" if resume else "exists: --resume goes on with it"):
            prepare_run(taken, tiny(), resume)


def test_a_run_is_resumed_with_its_own_settings(tmp_path):
    start_run(tmp_path, tiny())
    assert prepare_run(tmp_path, tiny(), resume=True) is None
    start_run(tmp_path, tiny(), step=7)
    assert prepare_run(tmp_path, tiny(), resume=True)["step"] == 7
    quicker = replace(tiny(), accumulate=2, recompute=True, log_every=3, checkpoint_minutes=9)
    assert prepare_run(tmp_path, quicker, resume=True)["step"] == 7
    for change in ({"epochs": 3}, {"seed": 5}, {"compile": True}):
        with pytest.raises(CarvanaError, match="was trained with other settings"):
            prepare_run(tmp_path, tiny(**change), resume=True)
    with pytest.raises(CarvanaError, match="exists: --resume"):
        prepare_run(tmp_path, tiny(), resume=False)


def test_only_run_folders_are_removed(tmp_path):
    remove_run(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    remove_run(tmp_path / "empty")
    start_run(tmp_path / "run", tiny(), step=1)
    remove_run(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "photos").mkdir()
    file = tmp_path / "photos" / "a.jpg"
    file.touch()
    for other in (tmp_path / "photos", file):
        with pytest.raises(CarvanaError, match=rf"{re.escape(str(other))} is not a run folder"):
            remove_run(other)
    assert file.exists()


def test_a_run_folder_belongs_to_one_training(tmp_path):
    out = tmp_path / "new" / "run"
    with hold_run(out):
        start_run(out, tiny(), step=1)
        for use in (hold_run, replaced_run):
            with pytest.raises(CarvanaError, match=r"another process trains in .*run: wait until it is done"), use(out):
                pass
        with pytest.raises(CarvanaError, match="another process trains in"):
            remove_run(out)
    assert sorted(entry.name for entry in out.iterdir()) == ["config.json", "last.pt"]
    # As a kill leaves it: nobody holds the lock.
    (out / ".training.lock").touch()
    with hold_run(out):
        pass
    assert sorted(entry.name for entry in out.iterdir()) == ["config.json", "last.pt"]
    for file in (out / "last.pt", out / "last.pt" / "below"):
        with pytest.raises(CarvanaError, match="is not a run folder but a file"), hold_run(file):
            pass


def test_only_a_folder_made_for_a_run_goes_when_it_stays_empty(tmp_path):
    (tmp_path / "old").mkdir()
    for out in (tmp_path / "new", tmp_path / "old"):
        with hold_run(out):
            assert out.is_dir()
    assert [folder.name for folder in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["config.json", "best.safetensors", "last.pt", "metrics.csv"])
def test_what_a_killed_training_left_half_written_does_not_stop_the_next(tmp_path, name):
    out = tmp_path / "run"
    out.mkdir()
    for left in (temporary_file(out / name), out / ".training.lock", out / f".{name}.lock"):
        left.touch()
    for resume in (False, True):
        assert prepare_run(out, tiny(), resume) is None
    remove_run(out)
    assert not out.exists()


def test_a_replaced_run_comes_back_unless_the_new_one_has_something(tmp_path):
    out, link = tmp_path / "run", tmp_path / "link"
    start_run(out, tiny(), step=1)
    link.symlink_to(out)

    def train(place, step):
        with replaced_run(place):
            assert list(place.iterdir()) == []
            (place / "config.json").touch()
            if step:
                start_run(place, tiny(), step=step)
            raise CarvanaError("no photos")

    for place in (out, link):
        with pytest.raises(CarvanaError, match="no photos"):
            train(place, None)
        assert load_checkpoint(out)["step"] == 1
    # Stopped before it had weights: both are kept, and the next one to replace it keeps the older.
    for step in (2, 3):
        with (
            pytest.warns(CarvanaWarning, match="is kept in .*replaced"),
            pytest.raises(CarvanaError, match="no photos"),
        ):
            train(link, step)
        assert load_checkpoint(out)["step"] == step
        assert load_checkpoint(tmp_path / "run.replaced")["step"] == 1
    with replaced_run(link):
        save_weights(out / "best.safetensors", tiny().build_model(), tiny())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "run"]
    with replaced_run(tmp_path / "new"):
        start_run(tmp_path / "new", tiny(), step=3)
    assert load_checkpoint(tmp_path / "new")["step"] == 3


def test_a_folder_in_the_way_of_the_run_put_aside_stays(tmp_path):
    start_run(tmp_path / "run", tiny(), step=1)
    (tmp_path / "run.replaced").mkdir()
    (tmp_path / "run.replaced" / "photo.jpg").touch()
    with pytest.raises(CarvanaError, match=r"run\.replaced is not a run folder"), replaced_run(tmp_path / "run"):
        pass
    assert (tmp_path / "run.replaced" / "photo.jpg").exists()
    assert load_checkpoint(tmp_path / "run")["step"] == 1


def test_a_run_put_aside_by_a_killed_one_is_found_again(tmp_path):
    out = tmp_path / "run"
    start_run(tmp_path / "run.replaced", tiny(), step=1)
    out.mkdir()
    (out / "config.json").write_text(tiny().to_json())
    with pytest.raises(ZeroDivisionError), replaced_run(out):
        raise ZeroDivisionError
    assert load_checkpoint(out)["step"] == 1
    assert not (tmp_path / "run.replaced").exists()


def test_of_two_runs_put_aside_only_the_one_with_weights_is_kept(tmp_path):
    out = tmp_path / "run"
    for step, place in enumerate((tmp_path / "run.replaced", out)):
        start_run(place, tiny(), step=step)
    save_weights(out / "best.safetensors", tiny().build_model(), tiny())
    with pytest.raises(ZeroDivisionError), replaced_run(out):
        raise ZeroDivisionError
    assert load_checkpoint(out)["step"] == 1
    assert not (tmp_path / "run.replaced").exists()


def test_a_training_that_begins_while_the_run_is_put_aside_keeps_its_folder(tmp_path, monkeypatch):
    out, real = tmp_path / "run", Path.rename
    start_run(out, tiny(), step=1)

    def begin_then_rename(path, target):
        (path / ".training.lock").touch()
        monkeypatch.undo()
        return real(path, target)

    monkeypatch.setattr(Path, "rename", begin_then_rename)
    with pytest.raises(CarvanaError, match=r"cannot put .*run aside \(another process trains there"), replaced_run(out):
        pass
    assert load_checkpoint(out)["step"] == 1
    assert not (tmp_path / "run.replaced").exists()


def test_a_training_in_the_place_of_a_failed_one_is_not_deleted(tmp_path):
    out = tmp_path / "run"
    start_run(out, tiny(), step=1)
    with ExitStack() as other:
        with pytest.raises(CarvanaError, match="another process trains in"), replaced_run(out):
            other.enter_context(hold_run(out))
        start_run(out, tiny(), step=2)
    assert load_checkpoint(out)["step"] == 2
    assert load_checkpoint(tmp_path / "run.replaced")["step"] == 1


def test_scores_without_a_checkpoint_are_not_trained_over(tmp_path):
    (tmp_path / "config.json").write_text(tiny().to_json())
    (tmp_path / "metrics.csv").write_text("epoch,dice\n1,0.5\n")
    assert prepare_run(tmp_path, tiny(), resume=True) is None
    (tmp_path / "metrics.csv").write_text("epoch,dice\n1,0.5\n2,0.6\n")
    with pytest.raises(CarvanaError, match="holds scores and no checkpoint to resume from"):
        prepare_run(tmp_path, tiny(), resume=True)


def test_the_folder_of_another_program_is_no_run(tmp_path):
    (tmp_path / "config.json").write_text('{"name": "my app"}')
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(CarvanaError, match="is not a run folder"):
        remove_run(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_a_config_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    start_run(tmp_path, tiny(), step=1)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CarvanaError, match=r"config\.json cannot be read \(Permission denied\)"):
        prepare_run(tmp_path, tiny(), resume=True)


def test_an_empty_folder_aside_is_worth_nothing(tmp_path):
    out = tmp_path / "run"
    start_run(out, tiny(), step=1)
    (tmp_path / "run.replaced").mkdir()
    with pytest.raises(ZeroDivisionError), replaced_run(out):
        raise ZeroDivisionError
    assert load_checkpoint(out)["step"] == 1


def refuse(*_):
    raise PermissionError(13, "Permission denied")


def test_a_run_that_cannot_be_put_aside_is_named_and_stays(tmp_path, monkeypatch):
    start_run(tmp_path / "run", tiny(), step=1)
    monkeypatch.setattr(Path, "rename", refuse)
    with (
        pytest.raises(CarvanaError, match=r"cannot put .*run aside .*Permission denied"),
        replaced_run(tmp_path / "run"),
    ):
        pass
    assert load_checkpoint(tmp_path / "run")["step"] == 1


def test_what_cannot_be_deleted_after_a_training_is_only_worth_a_warning(tmp_path, monkeypatch):
    out = tmp_path / "run"
    start_run(out, tiny(), step=1)

    def train():
        with replaced_run(out):
            save_weights(out / "best.safetensors", tiny().build_model(), tiny())
            monkeypatch.setattr(Path, "unlink", refuse)

    with pytest.warns(CarvanaWarning, match=r"cannot delete .*run\.replaced .*by hand"):
        train()
    assert (out / "best.safetensors").exists()


def test_a_run_half_deleted_is_still_one(tmp_path, monkeypatch):
    start_run(tmp_path, tiny(), step=1)
    start_run(tmp_path, tiny(), step=2)
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").touch()
    real = Path.unlink
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", lambda path: [real(path), stop()])
            with pytest.raises(KeyboardInterrupt):
                remove_run(tmp_path)
        assert (tmp_path / "config.json").exists()
    remove_run(tmp_path)
    assert not tmp_path.exists()


def stop():
    raise KeyboardInterrupt


def test_a_link_to_a_run_goes_with_it(tmp_path):
    start_run(tmp_path / "run", tiny(), step=1)
    (tmp_path / "link").symlink_to("run")
    remove_run(tmp_path / "link")
    assert list(tmp_path.iterdir()) == []


def test_the_advice_is_for_the_command_line_and_for_notebooks(tmp_path):
    (tmp_path / "run").mkdir()
    start_run(tmp_path / "run", tiny(), step=1)
    with pytest.raises(CarvanaError) as error:
        prepare_run(tmp_path / "run", tiny(), resume=False)
    for way in ("--resume", "--overwrite", "--out", "resume=True", "remove_run(out)", "in a notebook"):
        assert way in str(error.value)
    # What the notebook is told to do works.
    assert prepare_run(tmp_path / "run", tiny(), resume=True)["step"] == 1
    remove_run(tmp_path / "run")
    assert prepare_run(tmp_path / "run", tiny(), resume=False) is None


def test_no_advice_names_an_option_alone(tmp_path):
    """A notebook has no options: what names one says what a notebook does, or names a thing both have."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    start_run(tmp_path / "other", tiny())
    start_run(tmp_path / "scores", tiny())
    (tmp_path / "scores" / "metrics.csv").write_text("epoch\n1\n2\n")
    calls = [
        lambda: prepare_run(tmp_path / "notes", tiny(), resume=True),
        lambda: prepare_run(tmp_path / "other", tiny(epochs=3), resume=True),
        lambda: prepare_run(tmp_path / "scores", tiny(), resume=True),
        lambda: remove_run(tmp_path / "notes"),
        lambda: hold_run(tmp_path / "notes" / "notes.txt").__enter__(),
        lambda: hold_run(tmp_path / "notes" / "notes.txt" / "run").__enter__(),
    ]
    for call in calls:
        with pytest.raises(CarvanaError) as error:
            call()
        assert "--" not in str(error.value) or "in a notebook" in str(error.value)


def test_paths_may_be_text_and_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in (str(tmp_path / "run"), "~/run"):
        start_run(tmp_path / "run", tiny(), step=1)
        assert has_config(name)
        assert has_checkpoint(name)
        assert read_config(name) == tiny()
        save_checkpoint(name, {**STATE, "step": 3})
        assert load_checkpoint(name)["step"] == 3
        assert prepare_run(name, tiny(), resume=True)["step"] == 3
        save_weights(f"{name}/best.safetensors", tiny().build_model(), tiny(), dice="0.5")
        assert best_dice(name) == 0.5
        assert load_model(name)[1] == tiny()
        write_metrics(f"{name}/metrics.csv", STATE["history"])
        assert (tmp_path / "run" / "metrics.csv").read_text().split() == ["dice", "0.5"]
        with replaced_run(name):
            assert put_aside(name).is_dir()
        remove_run(name)
        assert list(tmp_path.iterdir()) == []


def test_what_is_written_to_a_name_with_a_tilde_lies_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert write_submission("~/new/s.csv", [("a.jpg", np.ones((1, 2), bool))]) == 1
    assert read_submission(str(tmp_path / "home" / "new" / "s.csv"), 1, 2)["a.jpg"].all()
    assert export_onnx(UNet(base_channels=2, depth=1), (16, 16), "~/net.onnx") == tmp_path / "home" / "net.onnx"
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["net.onnx", "new"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
