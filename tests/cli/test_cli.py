import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import write_pair
from PIL import Image

from carvana_lib.base.errors import CarvanaWarning
from carvana_lib.cli.main import main
from carvana_lib.config import TrainConfig
from carvana_lib.extras.submission import read_submission

TINY = ["--size", "48x32", "--base-channels", "4", "--depth", "2", "--batch-size", "4", "--epochs", "2"]
TINY += ["--precision", "float32", "--ema-decay", "0.9"]


def wrong_use(capsys, *arguments) -> str:
    """The one line printed for a wrong call."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    return one_line(capsys.readouterr().err)


def failure(capsys, *arguments) -> str:
    """The one line printed for a call that failed."""
    assert main([str(argument) for argument in arguments]) == 1
    return one_line(capsys.readouterr().err.splitlines()[-1] + "\n")


def one_line(text: str) -> str:
    assert text.endswith("\n")
    assert text.count("\n") == 1
    return text.strip()


def test_train_evaluate_predict(carvana, tmp_path, capsys):
    run = tmp_path / "run"
    assert (
        main(["train", "--preset", "quick", "--data", str(carvana), "--out", str(run), "--no-soft-masks", *TINY]) == 0
    )
    out, err = capsys.readouterr()
    assert "Epoch 1/2" in err
    assert "img/s" in err
    assert "min left" in err
    assert f"Next: carvana evaluate --weights {run} --data {carvana}" in out
    config = TrainConfig.from_json((run / "config.json").read_text())
    assert (config.size, config.base_channels, config.soft_masks, config.loss) == ((48, 32), 4, False, "bce+dice")

    scores, figure = tmp_path / "scores.json", tmp_path / "masks.png"
    call = ["evaluate", "--weights", run, "--data", carvana, "--fold", "1", "--json", scores, "--figure", figure]
    assert main([str(part) for part in call]) == 0
    table = capsys.readouterr().out
    found = json.loads(scores.read_text())
    assert {
        *("dice", "dice_ci95", "dice_global", "dice_batch", "accuracy", "iou", "boundary_error_px"),
        *("n_images", "n_cars", "worst", "threshold", "baselines"),
    } <= set(found)
    assert (found["n_images"], found["n_cars"], found["fold"]) == (8, 2, [1])
    assert f"{found['dice']:.4f}" in table
    assert "mean training mask of the same view" in table
    assert len(list(csv.DictReader(scores.with_suffix(".csv").read_text().splitlines()))) == 8
    assert Image.open(figure).size[0] > 500

    photo = next((carvana / "train").iterdir())
    assert (
        main(["predict", "--weights", str(run / "best.safetensors"), str(photo), "--out", str(tmp_path / "masks")]) == 0
    )
    mask = np.asarray(Image.open(tmp_path / "masks" / f"{photo.stem}_mask.png"))
    assert mask.shape == (64, 96)
    assert set(np.unique(mask)) <= {0, 255}
    assert Image.open(tmp_path / "masks" / f"{photo.stem}_overlay.jpg").size == (96, 64)


def test_all_folds_threshold_and_mirroring_change_what_they_should(trained, carvana, tmp_path, capsys):
    found = {}
    for name, extra in (("plain", []), ("high", ["--threshold", "0.9"]), ("tta", ["--tta"])):
        path = tmp_path / f"{name}.json"
        call = [
            "evaluate",
            "--weights",
            str(trained),
            "--data",
            str(carvana),
            "--fold",
            "all",
            "--json",
            str(path),
            *extra,
        ]
        assert main(call) == 0
        found[name] = json.loads(path.read_text())
    assert found["plain"]["n_images"] == 32
    assert main(["evaluate", "--weights", str(trained), "--data", str(carvana), "--fold", "7,1,0"]) == 0
    assert "12 photos of 3 cars" in capsys.readouterr().out
    assert found["high"]["threshold"] == 0.9
    assert len({found[name]["dice"] for name in found}) == 3


def test_resume_and_overwrite(carvana, tmp_path, capsys):
    run = str(tmp_path / "run")
    call = ["train", "--preset", "quick", "--data", str(carvana), "--out", run, *TINY]
    assert main(call) == 0
    assert "exists: --resume goes on with it" in failure(capsys, *call)
    assert main([*call, "--resume"]) == 0
    assert main(["train", "--resume", "--out", run, "--data", str(carvana)]) == 0
    assert main([*call, "--overwrite"]) == 0
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("me")
    assert "is not a run folder" in failure(
        capsys, "train", "--data", carvana, "--out", tmp_path / "letters", "--overwrite"
    )
    assert (tmp_path / "letters" / "dear.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["train", "--preset", "huge"], "invalid choice: 'huge'"),
        (["train", "--size", "big"], "'big' is not a size such as 240x160"),
        (["train", "--size", "4x4"], "size=(4, 4) must be at least 8"),
        (["train", "--loss", "hinge"], "loss='hinge' must be one of bce, dice"),
        (["train", "--learning-rate", "fast"], "invalid float value: 'fast'"),
        (["train", "--epochs", "0"], "epochs=0 must be from 1 to 1000000"),
        (["train", "--resume", "--overwrite"], "not allowed with"),
        (["evaluate", "--weights", "x", "--fold", "ten"], "'ten' is not a fold"),
        (["evaluate", "--weights", "x", "--threshold", "2"], "'2' is not a probability"),
        (["predict", "--weights", "x", "photo.jpg"], "--out"),
        (["check-data"], "ROOT"),
    ],
)
def test_wrong_use_is_answered_in_one_line_with_status_2(capsys, arguments, message):
    line = wrong_use(capsys, *arguments)
    assert message in line
    assert "--help" in line


def test_failures_are_answered_in_one_line_with_status_1(trained, carvana, tmp_path, capsys):
    assert "no folder" in failure(capsys, "train", "--data", tmp_path / "gone")
    assert "no weights" in failure(capsys, "evaluate", "--weights", tmp_path / "gone", "--data", carvana)
    assert "holds no best.safetensors" in failure(capsys, "evaluate", "--weights", tmp_path, "--data", carvana)
    (tmp_path / "bad.safetensors").write_bytes(b"12345678 no")
    assert "holds no usable weights" in failure(capsys, "evaluate", "--weights", tmp_path / "bad.safetensors")
    assert "no cars of fold [7]" in failure(capsys, "evaluate", "--weights", trained, "--data", carvana, "--fold", "7")
    text = tmp_path / "text.jpg"
    text.write_text("words")
    assert "text.jpg is not an image" in failure(capsys, "predict", "--weights", trained, text, "--out", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="no weights"):
        main(["evaluate", "--weights", str(tmp_path / "gone"), "--debug"])


def test_an_unexpected_error_is_one_line_too(monkeypatch, carvana, capsys):
    monkeypatch.setattr("carvana_lib.run.fit.fit", lambda *_, **__: 1 / 0)
    line = failure(capsys, "train", "--data", carvana, "--out", "nowhere")
    assert line == "carvana: unexpected ZeroDivisionError (division by zero): run again with --debug to see where"


def test_ctrl_c_ends_with_130(monkeypatch, carvana, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt("stopped at epoch 1, step 2; saved: --resume goes on from there")

    monkeypatch.setattr("carvana_lib.run.fit.fit", stopped)
    assert main(["train", "--data", str(carvana), "--out", "nowhere"]) == 130
    assert "--resume goes on from there" in capsys.readouterr().err


def test_check_data(carvana, broken, capsys):
    assert main(["check-data", str(carvana)]) == 0
    assert capsys.readouterr().out == f"{carvana}: 32 pairs of 8 cars checked, faults: none\n"
    write_pair(broken, 21, 1)
    next((broken / "train").iterdir()).write_text("words")
    assert main(["check-data", str(broken)]) == 1
    assert "is not an image" in capsys.readouterr().out


def test_the_module_is_the_command(tmp_path):
    for command in ([sys.executable, "-m", "carvana_lib"], [os.path.join(os.path.dirname(sys.executable), "carvana")]):
        done = subprocess.run([*command, "check-data", str(tmp_path / "gone")], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("carvana: no folder ")
        assert done.stderr.count("\n") == 1


def test_two_runs_on_the_same_data_may_train_in_one_process_with_other_precision(carvana, tmp_path):
    from helpers import tiny

    from carvana_lib.run.fit import fit

    for precision in ("float32", "bf16"):
        history = fit(tiny(epochs=1, precision=precision), carvana, tmp_path / precision, progress=False)
        assert history[0]["loss"] < 5


def test_more_cars_do_not_move_others(tmp_path):
    from carvana_lib.data import list_pairs

    write_pair(tmp_path, 12, 1)
    before = {pair.car: pair.fold for pair in list_pairs(tmp_path)}
    write_pair(tmp_path, 5, 1)
    assert before.items() <= {pair.car: pair.fold for pair in list_pairs(tmp_path)}.items()


def test_submit_writes_a_row_a_photo_and_export_an_onnx_file(trained, carvana, tmp_path, capsys):
    out = tmp_path / "submission.csv"
    assert main(["submit", str(carvana / "train"), "--weights", str(trained), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 1 + 8 * 4
    assert "32 photos" in capsys.readouterr().out
    assert main(["export", "--weights", str(trained), "--out", str(tmp_path / "net.onnx")]) == 0
    assert (tmp_path / "net.onnx").stat().st_size > 1000
    for folder in ("nowhere", str(tmp_path)):
        (tmp_path / "net.onnx").unlink(missing_ok=True)
        assert main(["submit", folder, "--weights", str(trained), "--out", str(tmp_path / "none.csv")]) == 1
        assert not (tmp_path / "none.csv").exists()


def test_warnings_of_other_libraries_are_shown_and_end_nothing(monkeypatch, carvana, tmp_path, capsys):
    def warned(*_, **__):
        warnings.warn("guards may run slower", RuntimeWarning, stacklevel=1)
        warnings.warn("the loss has not fallen", CarvanaWarning, stacklevel=1)
        return [{"epoch": 1, "dice": 0.5}]

    monkeypatch.setattr("carvana_lib.run.fit.fit", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["train", "--data", str(carvana), "--out", str(tmp_path / "run")]) == 0
    err = capsys.readouterr().err
    assert "RuntimeWarning: guards may run slower" in err
    assert "carvana: the loss has not fallen\n" in err


def test_a_run_is_not_lost_to_one_that_fails(trained, carvana, broken, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = (run / "best.safetensors").read_bytes()
    call = ["train", "--preset", "quick", "--out", run, "--overwrite", *TINY]
    assert "--start" in wrong_use(capsys, *map(str, [*call, "--data", carvana, "--start", run]))
    aside = tmp_path / "run.replaced" / "best.safetensors"
    assert "--start" in wrong_use(capsys, *map(str, [*call, "--data", carvana, "--start", aside]))
    assert "no weights" in failure(capsys, *call, "--data", carvana, "--start", tmp_path / "nosuch")
    write_pair(broken, 21, 1)
    next((broken / "train").iterdir()).write_text("words")
    assert "is not an image" in failure(capsys, *call, "--data", broken)
    assert (run / "best.safetensors").read_bytes() == before
    assert not (tmp_path / "run.replaced").exists()


def test_a_folder_named_small_is_not_taken_for_the_weights_that_come_along(carvana, tmp_path, monkeypatch, capsys):
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    photo = next((carvana / "train").iterdir())
    assert main(["predict", str(photo), "--out", "masks"]) == 0
    assert "small holds no best.safetensors" in failure(capsys, "predict", photo, "--weights", "small", "--out", "m")


def test_files_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys):
    for option, text in (("--json", "."), ("--json", str(tmp_path)), ("--figure", "")):
        assert "is a folder: name a file in it" in wrong_use(capsys, "evaluate", option, text)
    assert "does not end in .png" in wrong_use(capsys, "evaluate", "--figure", "f.txt")
    assert "is too long for a file" in wrong_use(capsys, "evaluate", "--json", 300 * "s")
    assert "both write x.png" in wrong_use(capsys, "evaluate", "--json", "x.png", "--figure", "x.png")
    assert "unrecognized arguments: --tta" in wrong_use(capsys, "export", "--out", "x.onnx", "--tta")


def test_scores_never_replace_each_other(trained, carvana, tmp_path):
    for name in ("at_0.3", "at_0.4", "s.csv"):
        assert (
            main(["evaluate", "--weights", str(trained), "--data", str(carvana), "--json", str(tmp_path / name)]) == 0
        )
        assert json.loads((tmp_path / name).read_text())["n_images"] == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["at_0.3", "at_0.3.csv", "at_0.4", "at_0.4.csv", "s.csv", "s.csv.csv"]
    )


def test_a_picture_has_the_format_its_name_says(trained, carvana, tmp_path):
    figure = tmp_path / "f.pdf"
    assert main(["evaluate", "--weights", str(trained), "--data", str(carvana), "--figure", str(figure)]) == 0
    assert figure.read_bytes().startswith(b"%PDF")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    write_pair(tmp_path, 10, 1)
    reading, writing = os.pipe()
    os.close(reading)
    call = [sys.executable, "-m", "carvana_lib", "check-data", str(tmp_path)]
    done = subprocess.run(call, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=1000)
    os.close(writing)
    assert "unexpected" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_folder_in_place_of_a_photo_is_named(carvana, tmp_path, capsys):
    assert "is a folder: name the photos in it" in failure(capsys, "predict", carvana / "train", "--out", tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_photo_whose_name_is_no_text_is_submitted(trained, carvana, tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "test").mkdir()
    shutil.copy(next((carvana / "train").iterdir()), tmp_path / "test" / name)
    call = ["submit", str(tmp_path / "test"), "--weights", str(trained), "--out", str(tmp_path / "s.csv")]
    assert main(call) == 0
    assert list(read_submission(tmp_path / "s.csv", 64, 96)) == [name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_are_no_text_or_steer_the_terminal(broken, tmp_path):
    for name in (b"a\nb.jpg", b"\x1b[31m.jpg", b"\xff.jpg"):
        Path(os.fsdecode(bytes(broken / "train") + b"/" + name)).touch()
    command = [sys.executable, "-m", "carvana_lib", "check-data", str(broken)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 4
    for name in (r"a\nb.jpg", r"\x1b[31m.jpg", r"\udcff.jpg"):
        assert any(f"{name} is not named" in line for line in lines)
    assert done.returncode == 1


def test_a_run_is_not_replaced_from_inside(trained, carvana, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for place in (run, run / "tensorboard"):
        monkeypatch.chdir(place)
        for out in (".", "..", str(run)):
            if run.is_relative_to((place / out).resolve()):
                wrong = wrong_use(capsys, "train", "--out", out, "--overwrite", "--data", str(carvana), *TINY)
                assert "the folder you are in" in wrong
    assert (run / "best.safetensors").exists()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stopped_before_the_first_step_the_old_run_comes_back(trained, carvana, tmp_path, monkeypatch, capsys, stop):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    monkeypatch.setattr("carvana_lib.prepare.cache._decode_all", lambda *_: signal.raise_signal(stop))
    monkeypatch.setenv("CARVANA_CACHE", str(tmp_path / "cache"))
    before = signal.getsignal(signal.SIGTERM)
    # What was started in the background may have been told to ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert main(["train", "--out", str(run), "--overwrite", "--data", str(carvana), *TINY]) == 130
    assert "carvana: stopped" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    assert (run / "best.safetensors").exists()
    assert not (tmp_path / "run.replaced").exists()


def test_a_run_that_was_put_aside_is_named(trained, carvana, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "run.replaced")
    (tmp_path / "run").mkdir()
    # With or without the settings of the run that was killed.
    for name in ("notes.txt", "config.json"):
        said = failure(capsys, "train", "--out", tmp_path / "run", "--resume", "--data", carvana, *TINY)
        assert "run holds nothing to resume; " in said
        assert "run.replaced does, left by an --overwrite that was stopped: rename it" in said
        shutil.copy(trained / "config.json", tmp_path / "run" / name)


def test_the_root_of_a_disk_is_no_run(carvana, capsys):
    assert "/ is not a run folder" in failure(capsys, "train", "--out", "/", "--resume", "--data", carvana, *TINY)


def test_spaces_of_other_scripts_are_shown_as_they_are(tmp_path, capsys):
    assert "写真\u3000データ" in failure(capsys, "check-data", tmp_path / "写真\u3000データ")


def test_an_output_that_only_looks_like_a_file(carvana, monkeypatch):
    class Shell(io.StringIO):
        errors = "strict"

    monkeypatch.setattr(sys, "stdout", Shell())
    assert main(["check-data", str(carvana)]) == 0
    assert "faults: none" in sys.stdout.getvalue()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("unable to mmap 9 bytes: Cannot allocate memory (12)")])
def test_a_full_memory_is_said_in_one_line(carvana, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("carvana_lib.prepare.doctor.scan", fail)
    assert "not enough memory: end other programs" in failure(capsys, "check-data", carvana)


def test_several_data_folders_train_together_and_are_scored_one_by_one(carvana, tmp_path, capsys):
    for view in (1, 2):
        write_pair(tmp_path / "more", 31, view)
    folders = ["--data", str(carvana), "--data", str(tmp_path / "more")]
    small = ["--size", "48x32", "--base-channels", "4", "--depth", "2", "--epochs", "1"]
    assert main(["train", "--preset", "quick", "--out", str(tmp_path / "run"), *small, *folders]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"--data {carvana} --data {tmp_path / 'more'}")
    scores = tmp_path / "scores.json"
    assert main(["evaluate", "--weights", str(tmp_path / "run"), "--json", str(scores), *folders]) == 0
    found = json.loads(scores.read_text())
    parts = found["folders"]
    assert {name: part["n_images"] for name, part in parts.items()} == {str(carvana): 8, str(tmp_path / "more"): 2}
    mean = sum(part["dice"] * part["n_images"] for part in parts.values()) / 10
    assert found["dice"] == pytest.approx(mean)
    assert f"{tmp_path / 'more'}: Dice" in capsys.readouterr().out
