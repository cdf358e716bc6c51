"""Faults injected from outside: kills, stops, full disks, locked folders, files cut short."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, cut, no_locks, read_metrics, tiny, weights

from benchmarks.reliability import kills
from carvana_lib.base import files
from carvana_lib.base.errors import CarvanaError, CarvanaWarning
from carvana_lib.base.files import temporary_file, write_atomically
from carvana_lib.cli.main import main
from carvana_lib.cli.mask_files import predict_files
from carvana_lib.cli.report import write_json, write_rows
from carvana_lib.data import list_pairs
from carvana_lib.evaluation import Evaluation
from carvana_lib.extras.submission import write_submission
from carvana_lib.pictures.figures import save_figure
from carvana_lib.prepare import cache
from carvana_lib.prepare.cache import cache_folder, load_arrays
from carvana_lib.run.checkpoint import load_checkpoint, save_checkpoint
from carvana_lib.run.fit import fit
from carvana_lib.run.folder import prepare_run, remove_run
from carvana_lib.run.history import write_curves, write_metrics
from carvana_lib.run.weights import load_model, save_weights
from carvana_lib.training import Trainer

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals, limits and users")
EVERY_STEP = {"log_every": 1, "checkpoint_minutes": 0.0}


@pytest.fixture(scope="module")
def whole(carvana, tmp_path_factory) -> Path:
    """A run that was left alone, with a checkpoint after every step."""
    out = tmp_path_factory.mktemp("whole") / "run"

    def keep_first(history):
        if len(history) == 1:
            shutil.copy(out / "last.pt", out.parent / "after_1.pt")

    fit(tiny(**EVERY_STEP), carvana, out, progress=False, on_epoch=keep_first)
    return out


@posix
@pytest.mark.parametrize("kind", kills.KINDS)
def test_a_killed_training_ends_with_the_weights_of_one_left_alone(carvana, tmp_path, whole, kind):
    config, out = tiny(**EVERY_STEP), tmp_path / "run"
    found = kills.kill_and_resume(kind, 4, 0.1, config, carvana, out)
    assert (found["killed"], found["resumed"]) == (True, True)
    assert found["half_written"] or kind != "while writing"
    assert found["between_renames"] or kind != "between renames"
    assert kills.state(out) == kills.state(whole)


def test_a_checkpoint_cut_short_falls_back_to_the_one_before(carvana, tmp_path, whole):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    cut(out / "last.pt")
    with pytest.warns(CarvanaWarning, match=r"last\.pt is damaged .* going on from the one before, .*previous\.pt"):
        assert load_checkpoint(out)["step"] == 5
    history = fit(tiny(**EVERY_STEP), carvana, out, resume=True, progress=False)
    assert kills.state(out) == kills.state(whole)
    assert [float(row["dice"]) for row in read_metrics(out)] == [row["dice"] for row in history]


def test_after_falling_back_the_table_is_the_checkpoint_s_and_the_best_weights_stay(
    carvana, tmp_path, whole, monkeypatch
):
    config, out = tiny(**EVERY_STEP), tmp_path / "run"
    shutil.copytree(whole, out)
    # As if every checkpoint of the second epoch were lost: table and best weights are younger.
    shutil.copy(whole.parent / "after_1.pt", out / "last.pt")
    best = (out / "best.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(config, carvana, out, resume=True, progress=False)
    assert [row["epoch"] for row in read_metrics(out)] == ["1"]
    fit(config, carvana, out, resume=True, progress=False)
    assert (out / "best.safetensors").read_bytes() == best
    assert kills.state(out) == kills.state(whole)


def stop(*_):
    raise KeyboardInterrupt


def test_two_damaged_checkpoints_are_both_named(tmp_path, whole):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    cut(out / "last.pt")
    torch.save({"weights": 1}, out / "previous.pt")
    with pytest.raises(
        CarvanaError,
        match=r"last\.pt is damaged .* and .*previous\.pt is not a checkpoint .*: train in another folder",
    ):
        load_checkpoint(out)


def test_what_a_killed_training_left_half_written_is_overwritten(carvana, tmp_path):
    for resume in (False, True):
        out = tmp_path / f"run{resume}"
        out.mkdir()
        for name in ("config.json", "best.safetensors", "last.pt", "metrics.csv"):
            temporary_file(out / name).write_text("{")
        (out / ".training.lock").touch()
        fit(tiny(epochs=1), carvana, out, resume=resume, progress=False)
        assert not any(entry.name.startswith(".") for entry in out.iterdir())


def test_a_file_is_no_run_folder(carvana, tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(CarvanaError, match="is not a run folder"):
        remove_run(tmp_path / "run")
    for out in (tmp_path / "run", tmp_path / "run" / "below"):
        with pytest.raises(CarvanaError, match="is not a run folder but a file"):
            fit(tiny(), carvana, out, resume=True, progress=False)
    assert (tmp_path / "run").read_text() == "mine"


HOLD = """
import sys, time
from pathlib import Path
from carvana_lib.run.folder import hold_run
with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(1000)
"""


def start(code: str, *arguments: object) -> subprocess.Popen:
    """A process that runs `code`, after it has printed a line."""
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline()
    return child


def test_a_run_that_is_being_trained_is_left_alone_and_free_after_a_kill(carvana, tmp_path, whole, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    before = kills.state(out)
    call = ["train", "--data", str(carvana), "--out", str(out)]
    busy = r"another process trains in .*run: wait until it is done, or name another folder"
    with start(HOLD, out) as child:
        try:
            with pytest.raises(CarvanaError, match=busy):
                fit(tiny(**EVERY_STEP), carvana, out, resume=True, progress=False)
            with pytest.raises(CarvanaError, match=busy):
                remove_run(out)
            assert main([*call, "--overwrite"]) == 1
            assert "another process trains in" in capsys.readouterr().err
        finally:
            child.kill()
    fit(tiny(**EVERY_STEP), carvana, out, resume=True, progress=False)
    assert kills.state(out) == before
    remove_run(out)
    assert not out.exists()


def test_a_training_that_never_began_leaves_no_folder_and_none_that_was_there_goes(carvana, tmp_path):
    out, taken = tmp_path / "new" / "run", tmp_path / "empty"
    taken.mkdir()
    for folder in (out, taken):
        with pytest.raises(CarvanaError, match="batch_size"):
            fit(tiny(batch_size=7, accumulate=3), carvana, folder, progress=False)
    assert not out.exists()
    assert taken.is_dir()


def test_speed_and_memory_settings_may_change_on_the_way(carvana, tmp_path, whole, capsys):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    assert main(["train", "--resume", "--out", str(out), "--data", str(carvana), "--accumulate", "2"]) == 0
    assert '"accumulate": 2' in (out / "config.json").read_text()
    assert main(["train", "--resume", "--out", str(out), "--data", str(carvana), "--batch-size", "2"]) == 1
    assert "other settings" in capsys.readouterr().err


COMMAND = [sys.executable, "-m", "carvana_lib", "train", "--size", "48x32", "--base-channels", "4", "--depth", "2"]
COMMAND += ["--batch-size", "4", "--log-every", "1", "--checkpoint-minutes", "0", "--epochs", "100000"]


def wait_for(condition, seconds=2500):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_saves_says_how_to_go_on_and_goes_on(carvana, tmp_path, number):
    out = tmp_path / "run"
    child = subprocess.Popen(
        [*COMMAND, "--preset", "quick", "--data", str(carvana), "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for((out / "last.pt").exists)
        child.send_signal(number)
        errors = child.communicate(timeout=2500)[1]
    finally:
        child.kill()
    assert child.returncode == 130
    last = errors.strip().splitlines()[-1]
    assert last.startswith("carvana: stopped at epoch ")
    assert last.endswith("saved: --resume goes on from there (in a notebook: fit(..., resume=True))")
    assert "Traceback" not in errors
    state = load_checkpoint(out)
    assert f"epoch {state['epoch'] + 1}, step {state['step']};" in last


CELL = """
import sys
from helpers import tiny
from carvana_lib.run.fit import fit
history = fit(tiny(epochs={epochs}, log_every=1, checkpoint_minutes=0.0), {data!r}, {out!r}, resume=True)
len(history)
"""


def reply_to(client, request: str) -> dict:
    """What the kernel answers; it may answer its client's own greetings first."""
    while True:
        message = client.get_shell_msg(timeout=2500)
        if message["parent_header"].get("msg_id") == request:
            return message["content"]


def test_a_stopped_notebook_cell_saves_and_the_kernel_goes_on(carvana, tmp_path):
    from jupyter_client.manager import start_new_kernel

    out = tmp_path / "run"
    cell = CELL.format(data=str(carvana), out=str(out), epochs=1000)
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        request = client.execute(cell)
        wait_for((out / "last.pt").exists)
        manager.interrupt_kernel()
        reply = reply_to(client, request)
        assert reply["ename"] == "KeyboardInterrupt"
        assert "saved: --resume goes on from there (in a notebook: fit(..., resume=True))" in reply["evalue"]
        position = reply["evalue"].split(";")[0]
        state = load_checkpoint(out)
        assert position == f"stopped at epoch {state['epoch'] + 1}, step {state['step']}"
        assert reply_to(client, client.execute("len([1, 2])"))["status"] == "ok"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@contextmanager
def full_disk(folder: Path):
    """No file may grow beyond 100 bytes: every writer fails as on a full disk, Python, C++ and Rust alike."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def as_another_user():
    """Without the administrator's rights, should the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def locked(folder: Path):
    """Nothing may be written to `folder`, also where the tests run as root."""
    folder.chmod(0o555)
    try:
        with as_another_user():
            yield
    finally:
        folder.chmod(0o755)


def write_everything(trained: Path, photo: Path):
    """What the library writes, by name: a function of the folder to write to, and the file it makes there."""
    model, config = load_model(trained)
    masks = [(f"{number:04}.jpg", np.eye(64, dtype=bool)) for number in range(100)]
    rows = [{"epoch": float(number), "loss": 0.5} for number in range(100)]
    scores = Evaluation(["00000000000a_01"] * 100, torch.ones(100, 4, dtype=torch.int64), np.zeros(100))
    state = load_checkpoint(trained)
    # Made here: fonts are looked up before the disk is full.
    figure = drawn_figure()
    return {
        "checkpoint": (lambda folder: save_checkpoint(folder, state), "last.pt"),
        "weights": (lambda folder: save_weights(folder / "w.safetensors", model, config), "w.safetensors"),
        "predictions": (lambda folder: predict_files(model, config, [photo], folder), f"{photo.stem}_mask.png"),
        "submission": (lambda folder: write_submission(folder / "s.csv", masks), "s.csv"),
        "scores": (lambda folder: write_json(folder / "s.json", {"dice": [0.5] * 100}), "s.json"),
        "rows": (lambda folder: write_rows(scores, folder / "r.csv"), "r.csv"),
        "metrics": (lambda folder: write_metrics(folder / "metrics.csv", rows), "metrics.csv"),
        "figure": (lambda folder: save_figure(figure, folder / "f.png"), "f.png"),
    }


@posix
def test_runs_and_weights_in_a_folder_that_may_not_be_entered(trained, carvana, capsys):
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        run = Path(scratch) / "closed" / "run"
        shutil.copytree(trained, run)
        run.parent.chmod(0o600)
        config = load_model(trained)[1]
        with as_another_user():
            with pytest.raises(CarvanaError, match=r"cannot look for weights at .*run \(Permission denied\)"):
                load_model(run)
            with pytest.raises(CarvanaError, match=r"no folder .*data: check the path"):
                list_pairs(run.parent / "data")
            for resume in (False, True):
                with pytest.raises(CarvanaError, match=r"cannot train in .*run \(.*Permission denied"):
                    fit(config, carvana, run, resume=resume, progress=False)
        run.parent.chmod(0o755)
        # Of a folder like this the names can be read, and nothing else.
        run.chmod(0o744)
        with as_another_user():
            assert main(["train", "--resume", "--out", str(run)]) == 1
            assert "run cannot be read (Permission denied): change" in capsys.readouterr().err
            for use in (lambda: prepare_run(run, config, resume=True), lambda: remove_run(run)):
                with pytest.raises(CarvanaError, match=r"run cannot be read \(Permission denied\): change its perm"):
                    use()
        run.chmod(0o755)
        assert load_model(run)[1] == config


def drawn_figure():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(2, 2))
    axes.plot([1, 2], [3, 4])
    figure.canvas.draw()
    return figure


KINDS = ["checkpoint", "weights", "predictions", "submission", "scores", "rows", "metrics", "figure"]


@posix
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [full_disk, locked])
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(trained, carvana, kind, fault):
    # Not under tmp_path, whose parents only their owner may enter.
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        photo = Path(shutil.copy(next((carvana / "train").iterdir()), scratch))
        write, name = write_everything(trained, photo)[kind]
        folder = Path(scratch) / "out"
        folder.mkdir()
        (folder / name).write_text("old")
        with fault(folder), pytest.raises(CarvanaError, match=rf"cannot write .*{name} \(.+\): free some space"):
            write(folder)
        assert (folder / name).read_text() == "old"
        assert [entry.name for entry in folder.iterdir()] == [name]
        write(folder)
        assert (folder / name).stat().st_size > 100
        assert not any(entry.name.startswith(".") for entry in folder.iterdir())


@posix
def test_a_cache_may_be_shared_and_a_closed_one_is_named(broken):
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        pairs = list_pairs(shutil.copytree(broken, Path(scratch) / "data"))
        folder = Path(scratch) / "cache"
        load_arrays(pairs, (48, 32), folder, progress=False)
        entry = next(folder.iterdir())
        (folder / "new").mkdir()
        assert entry.stat().st_mode == (folder / "new").stat().st_mode
        with as_another_user():
            assert len(load_arrays(pairs, (48, 32), folder, progress=False)[0]) == len(pairs)
        entry.chmod(0o700)
        os.chown(entry, os.geteuid(), -1)
        if os.geteuid() != 0:
            entry.chmod(0o000)
        with as_another_user(), pytest.raises(CarvanaError, match=r"may not be read: set \$CARVANA_CACHE"):
            load_arrays(pairs, (48, 32), folder, progress=False)
        entry.chmod(0o700)
        assert [file.name for file in folder.iterdir() if file.name != "new"] == [entry.name]


CURVES = """
import resource, sys
from pathlib import Path
from carvana_lib.run.history import write_curves
import torch.utils.tensorboard
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
for epoch in (1.0, 2.0):
    write_curves(Path(sys.argv[1]), {"epoch": epoch, "loss": 0.5})
"""


@posix
def test_curves_on_a_full_disk_are_a_warning_and_no_traceback(tmp_path):
    # In a process of its own: pytest catches what threads print.
    done = subprocess.run([sys.executable, "-c", CURVES, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0
    assert "CarvanaWarning: cannot write curves" in done.stderr
    assert "Traceback" not in done.stderr


@posix
@pytest.mark.parametrize("fault", [full_disk, locked])
def test_a_cache_that_cannot_be_written_says_where_else_to_put_it(broken, fault):
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        pairs = list_pairs(shutil.copytree(broken, Path(scratch) / "data"))
        folder = Path(scratch) / "cache"
        folder.mkdir()
        with fault(folder), pytest.raises(CarvanaError, match=r"cannot write .*cache.*CARVANA_CACHE"):
            load_arrays(pairs, (48, 32), folder, progress=False)
        assert list(folder.iterdir()) == []
        load_arrays(pairs, (48, 32), folder, progress=False)


@posix
def test_curves_that_cannot_be_written_do_not_end_a_training(tmp_path):
    (tmp_path / "tensorboard").write_text("in the way")
    with pytest.warns(CarvanaWarning, match="cannot write curves to .*tensorboard"):
        write_curves(tmp_path / "tensorboard", {"epoch": 1.0, "loss": 0.5})


@posix
def test_a_disk_that_fills_up_while_training_leaves_a_run_that_goes_on(carvana, tmp_path, whole, monkeypatch):
    config, out = tiny(**EVERY_STEP), tmp_path / "run"
    save, saves = torch.save, []

    def full(state, path):
        saves.append(1)
        if len(saves) == 4:
            with full_disk(out):
                save(state, path)
        save(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CarvanaError, match=r"cannot write .*last\.pt .*free some space, then resume from the"):
        fit(config, carvana, out, progress=False)
    assert load_checkpoint(out)["step"] == 3
    fit(config, carvana, out, resume=True, progress=False)
    assert kills.state(out) == kills.state(whole)


@posix
def test_without_a_home_directory_the_cache_asks_for_a_place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("CARVANA_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["nobody"])
    with pytest.raises(CarvanaError, match=r"no home directory .*set \$CARVANA_CACHE"):
        cache_folder()
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_file_of_a_killed_process_is_used_up_by_the_next(tmp_path):
    path = tmp_path / "w.txt"
    temporary_file(path).write_text("half of something longer than what comes")
    write_atomically(path, lambda temporary: temporary.write_text("whole"))
    assert path.read_text() == "whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.txt"]


def test_two_processes_do_not_write_the_same_file_at_once(tmp_path):
    path = tmp_path / "w.txt"
    busy = r"another process writes .*w\.txt: wait until it is done"

    def write(temporary):
        with pytest.raises(CarvanaError, match=busy):
            write_atomically(path, lambda temporary: temporary.write_text("other"))
        temporary.write_text("mine")

    write_atomically(path, write)
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.txt"]


BUILD = """
import sys, time
from pathlib import Path
from carvana_lib.data import list_pairs
from carvana_lib.prepare import cache
cache.read_pair = lambda *_: print("decoding", flush=True) or time.sleep(1000)
cache.load_arrays(list_pairs(sys.argv[1]), (48, 32), Path(sys.argv[2]), progress=False)
"""


@posix
def test_who_waits_for_another_build_can_be_stopped_and_takes_over_from_a_killed_one(broken, tmp_path, monkeypatch):
    pairs, folder = list_pairs(broken), tmp_path / "cache"
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def soon(action):
        monkeypatch.setattr(files, "print", lambda *_, **__: threading.Timer(0.2, action).start(), raising=False)

    with start(BUILD, broken, folder) as child:
        try:
            soon(lambda: os.kill(os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                load_arrays(pairs, (48, 32), folder, progress=False)
            assert child.poll() is None
            soon(child.kill)
            assert len(load_arrays(pairs, (48, 32), folder, progress=False)[0]) == len(pairs)
            assert child.wait() == -signal.SIGKILL
        finally:
            child.kill()
    # Its half-built folder goes with the next build.
    load_arrays(pairs, (24, 16), folder, progress=False)
    names = {cache.cache_key(pairs, size) for size in ((48, 32), (24, 16))}
    assert {entry.name for entry in folder.iterdir()} == names


@posix
def test_a_lock_that_another_user_left_stops_no_build(broken):
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        pairs = list_pairs(shutil.copytree(broken, Path(scratch) / "data"))
        folder = Path(scratch) / "cache"
        folder.mkdir()
        folder.chmod(0o1777)
        lock = folder / f"{cache.cache_key(pairs, (48, 32))}.lock"
        lock.touch(0o000)
        with as_another_user():
            assert len(load_arrays(pairs, (48, 32), folder, progress=False)[0]) == len(pairs)


@posix
def test_what_killed_builds_left_is_removed_and_a_living_one_is_not(broken, tmp_path):
    dead, alive = (tmp_path / "cache" / f"{name}.building-1" for name in ("dead", "alive"))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
    with files.locked(tmp_path / "cache" / "alive.lock", "in use"):
        load_arrays(list_pairs(broken), (48, 32), tmp_path / "cache", progress=False)
    assert (dead.exists(), alive.exists()) == (False, True)


@posix
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_where_there_are_no_locks_the_work_goes_on(carvana, tmp_path, whole, monkeypatch, number):
    no_locks(monkeypatch, number)
    config, out = tiny(**EVERY_STEP), tmp_path / "run"
    fit(config, carvana, out, progress=False)
    assert kills.state(out) == kills.state(whole)
    remove_run(out)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cache_is_made_again(broken, tmp_path):
    pairs = list_pairs(broken)
    before = load_arrays(pairs, (48, 32), tmp_path, progress=False)[0].copy()
    cut(tmp_path / cache.cache_key(pairs, (48, 32)) / "images.npy")
    assert (load_arrays(pairs, (48, 32), tmp_path, progress=False)[0] == before).all()


def test_stopping_between_epochs_keeps_the_epoch(carvana, tmp_path, whole):
    def stop(_):
        signal.raise_signal(signal.SIGINT)

    config = tiny(**EVERY_STEP)
    with pytest.raises(KeyboardInterrupt, match="stopped at epoch 2, step 1; saved"):
        fit(config, carvana, tmp_path / "run", progress=False, on_epoch=stop)
    fit(config, carvana, tmp_path / "run", resume=True, progress=False)
    assert_same(weights(tmp_path / "run"), weights(whole))


@posix
def test_links_keep_their_file_and_devices_stay(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", lambda path: path.write_text("new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(CarvanaError, match="it is not a file; name another place"):
            write_atomically(place, lambda path: path.write_text("new"))
    assert (tmp_path / "pipe").is_fifo()
