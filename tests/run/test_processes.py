"""The same training in one process and in two, as torchrun and accelerate start them."""

import csv
import json
import os
import subprocess
import sys

import pytest
from helpers import tiny

from carvana_lib.run.fit import fit

CHILD = """
import json, sys
from helpers import tiny
from carvana_lib.run.fit import fit
history = fit(tiny(**{settings!r}), {data!r}, {out!r}, progress=False)
from accelerate import PartialState
if PartialState().is_main_process:
    print("HISTORY", PartialState().num_processes, json.dumps(history))
"""
# Batch norm would see half a batch in each of two processes; without it both ways compute the same sums.
SETTINGS = {"norm": None, "epochs": 8, "learning_rate": 5e-3, "ema_decay": 0.5}


@pytest.fixture(scope="module")
def two(carvana, tmp_path_factory):
    """History and run folder of a training in two processes."""
    out = tmp_path_factory.mktemp("two") / "run"
    script = out.parent / "train.py"
    script.write_text(CHILD.format(settings=SETTINGS, data=str(carvana), out=str(out)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29573", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(launch, capture_output=True, text=True, timeout=2500, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith("HISTORY 2 ")]
    assert len(lines) == 1
    return json.loads(lines[0].removeprefix("HISTORY 2 ")), out


@pytest.mark.skipif(os.name == "nt", reason="gloo over torchrun is not supported on Windows")
def test_two_processes_give_the_loss_curve_of_one(two, carvana, tmp_path):
    one = fit(tiny(**SETTINGS), carvana, tmp_path / "run", progress=False)
    history, _ = two
    assert [row["loss"] for row in history] == pytest.approx([row["loss"] for row in one], abs=1e-4)
    assert history[-1]["dice"] > 0.7
    for name in ("dice", "accuracy", "iou"):
        assert [row[name] for row in history] == pytest.approx([row[name] for row in one], abs=2e-3)


NOTEBOOK = """
import sys
from accelerate import notebook_launcher
from helpers import tiny
from carvana_lib.run.fit import fit

def train(*arguments):
    from accelerate import PartialState
    fit(*arguments, progress=False)
    print("PROCESS", PartialState().process_index, "OF", PartialState().num_processes)

notebook_launcher(train, (tiny(**{settings!r}), {data!r}, {out!r}), num_processes=2, use_port="29583")
"""


@pytest.mark.skipif(os.name == "nt", reason="processes are forked")
def test_the_launcher_of_notebooks_trains_like_torchrun(two, carvana, tmp_path):
    script = tmp_path / "cell.py"
    script.write_text(NOTEBOOK.format(settings=SETTINGS, data=str(carvana), out=str(tmp_path / "run")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "1"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=2500, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "PROCESS 0 OF 2" in done.stdout
    assert "PROCESS 1 OF 2" in done.stdout
    with open(tmp_path / "run" / "metrics.csv") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx([row["loss"] for row in two[0]], abs=1e-6)


@pytest.mark.skipif(os.name == "nt", reason="gloo over torchrun is not supported on Windows")
def test_two_processes_score_like_one_and_write_once(two, carvana):
    from carvana_lib.data import CarvanaDataset, list_pairs
    from carvana_lib.evaluation import evaluate
    from carvana_lib.run.weights import load_model

    history, out = two
    model, config = load_model(out)
    scores = evaluate(model, CarvanaDataset(list_pairs(carvana, [1]), config.size), outlines=False, progress=False)
    best = max(history, key=lambda row: row["dice"])
    assert scores.summary()["dice"] == best["dice"]
    assert scores.summary()["accuracy"] == best["accuracy"]
    assert len((out / "metrics.csv").read_text().splitlines()) == 1 + len(history)
    assert len(list((out / "tensorboard").iterdir())) == len(history)


@pytest.mark.skipif(os.name == "nt", reason="gloo over torchrun is not supported on Windows")
def test_two_processes_overwrite_a_run_once(carvana, tmp_path):
    out = tmp_path / "run"
    fit(tiny(), carvana, out, progress=False)
    settings = ["--size", "48x32", "--base-channels", "4", "--epochs", "1", "--batch-size", "4"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29593"]
    call = ["-m", "carvana_lib", "train", "--overwrite", "--data", str(carvana), "--out", str(out), *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*launch, *call], capture_output=True, text=True, timeout=2500, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    with open(out / "metrics.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]


@pytest.mark.skipif(os.name == "nt", reason="gloo over torchrun is not supported on Windows")
def test_what_is_refused_is_refused_in_one_line_by_each_process(carvana, tmp_path):
    (tmp_path / "letter.txt").touch()
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29613"]
    call = ["-m", "carvana_lib", "train", "--data", str(carvana), "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*launch, *call], capture_output=True, text=True, timeout=2500, env=environment)
    assert done.returncode != 0
    assert "unexpected" not in done.stderr
    assert f"carvana: {tmp_path} exists: --resume goes on with it" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="gloo over torchrun is not supported on Windows")
def test_two_processes_fall_back_to_the_same_checkpoint(carvana, tmp_path):
    out = tmp_path / "run"
    fit(tiny(epochs=3), carvana, out, progress=False)
    (out / "last.pt").write_bytes(b"damaged")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29603"]
    call = ["-m", "carvana_lib", "train", "--resume", "--data", str(carvana), "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*launch, *call], capture_output=True, text=True, timeout=2500, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    # Each of them says so, and none takes away what the other reads.
    assert done.stderr.count("going on from the one before") == 2
    with open(out / "metrics.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
