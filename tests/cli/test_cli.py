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
from helpers import draw, tiny, write_pair
from PIL import Image

import carvana_lib
from carvana_lib.base.errors import CarvanaWarning
from carvana_lib.cli.main import main
from carvana_lib.cli.mask_files import matching
from carvana_lib.cli.options import build_parser
from carvana_lib.config import TrainConfig
from carvana_lib.data import CarvanaDataset, find_data, list_pairs
from carvana_lib.evaluation import baselines, evaluate
from carvana_lib.extras.submission import read_submission
from carvana_lib.prediction import predict_photo
from carvana_lib.prepare.doctor import check_data
from carvana_lib.run.fit import fit
from carvana_lib.run.weights import load_model

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
    for precision in ("float32", "bf16"):
        history = fit(tiny(epochs=1, precision=precision), carvana, tmp_path / precision, progress=False)
        assert history[0]["loss"] < 5


def test_more_cars_do_not_move_others(tmp_path):
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

    monkeypatch.setattr("carvana_lib.prepare.doctor.find_pairs", fail)
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


def test_scores_of_training_cars_are_named_and_no_baseline_knows_them(trained, carvana, tmp_path, capsys):
    def scored(fold):
        call = ["evaluate", "--weights", trained, "--data", carvana, "--fold", fold, "--json", tmp_path / "s.json"]
        assert main([str(part) for part in call]) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "training folds" in line]
        return json.loads((tmp_path / "s.json").read_text()), lines

    found, lines = scored("1")
    assert (found["n_cars_of_training_folds"], lines) == (0, [])
    assert len(found["baselines"]) == 3
    found, lines = scored("1,2,3")
    assert found["n_cars_of_training_folds"] == 2
    assert len(lines) == 1
    assert "2 of the 4 cars to score are of the training folds 2 to 9" in lines[0]
    assert "--fold 1 or 0 scores held-out cars" in lines[0]
    assert max(row["dice"] for row in found["baselines"].values()) < 0.95
    found, lines = scored("all")
    assert found["n_cars_of_training_folds"] == 5
    assert "5 of the 8 cars" in lines[0]
    assert lines[0].endswith("no other car is left for the baselines of mean masks")
    assert list(found["baselines"]) == ["all background"]


def test_of_a_single_car_no_interval_is_printed_or_written(trained, carvana, tmp_path, capsys):
    scores = tmp_path / "s.json"
    call = ["evaluate", "--weights", str(trained), "--data", str(carvana), "--fold", "0", "--json", str(scores)]
    assert main(call) == 0
    found = json.loads(scores.read_text())
    assert (found["n_cars"], found["dice_ci95"]) == (1, None)
    printed = capsys.readouterr().out
    assert "no 95 % interval of Dice: the photos are of a single car, which says nothing about others" in printed
    assert "interval of Dice over cars" not in printed


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of four photos, the third of which is damaged."""
    folder = tmp_path / "test"
    folder.mkdir()
    for view in (1, 2, 3, 4):
        draw(30, view)[0].save(folder / f"{view}.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:2000])
    return folder


def predicted(monkeypatch) -> list[str]:
    """The names of the photos that a submission predicts from now on."""
    names = []

    def predict(model, photo, *rest):
        probability = predict_photo(model, photo, *rest)
        names.append(photo.name)
        return probability

    monkeypatch.setattr("carvana_lib.cli.submit.predict_photo", predict)
    return names


def test_a_damaged_photo_costs_no_mask_of_the_others(trained, photos, tmp_path, capsys, monkeypatch):
    names, out = predicted(monkeypatch), tmp_path / "new" / "s.csv"
    call = ["submit", photos, "--weights", trained, "--out", out]
    said = failure(capsys, *call)
    assert "1 of 4 photos could not be read, the first: " in said
    assert "3.png is damaged" in said
    assert "s.csv.unfinished. Mend these photos, then the same command goes on from there" in said
    assert names == ["1.png", "2.png", "4.png"]
    assert not out.exists()
    assert "1 of 4 photos" in failure(capsys, *call)
    draw(30, 3)[0].save(photos / "3.png")
    draw(31, 4)[0].save(photos / "4.png")  # changed: its mask is of another photo
    os.utime(photos / "4.png", (1, 1))
    assert main([str(part) for part in call]) == 0
    assert names == ["1.png", "2.png", "4.png", "3.png", "4.png"]
    assert [path.name for path in out.parent.iterdir()] == ["s.csv"]
    masks, (model, config) = read_submission(out, 64, 96), load_model(trained)
    assert sorted(masks) == ["1.png", "2.png", "3.png", "4.png"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, predict_photo(model, photos / name, config.size) > 0.5)


@pytest.mark.parametrize("torn", [b"", b'["2.png", "1 2", "3 4', b"\0\0\0\0\n", b"[1, 2]\n", b"7\n"])
def test_a_submission_that_was_killed_goes_on(trained, photos, tmp_path, capsys, monkeypatch, torn):
    names, out = predicted(monkeypatch), tmp_path / "s.csv"
    call = ["submit", str(photos), "--weights", str(trained), "--out", str(out)]
    assert main(call) == 1
    kept = tmp_path / "s.csv.unfinished"
    settings, first = kept.read_bytes().splitlines(keepends=True)[:2]
    kept.write_bytes(settings + first + torn)
    (photos / "3.png").unlink()
    assert main(call) == 0
    assert names == ["1.png", "2.png", "4.png", "2.png", "4.png"]
    assert sorted(read_submission(out, 64, 96)) == ["1.png", "2.png", "4.png"]
    # Of a first line that was not written to its end, nothing is left.
    kept.write_bytes(settings[:-4])
    assert main(call) == 0
    assert len(read_submission(out, 64, 96)) == 3


def test_masks_of_other_weights_or_options_are_never_mixed(trained, photos, tmp_path, capsys):
    call = ["submit", photos, "--weights", trained, "--out", tmp_path / "s.csv"]
    failure(capsys, *call)
    before = (tmp_path / "s.csv.unfinished").read_bytes()
    for other in (["--threshold", "0.4"], ["--tta"]):
        said = failure(capsys, *call, *other)
        assert "s.csv.unfinished holds masks that other weights or options made: call it with those, remove" in said
    assert (tmp_path / "s.csv.unfinished").read_bytes() == before


def test_a_stopped_submission_says_how_to_go_on(trained, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("carvana_lib.cli.submit.rle_encode", lambda _: signal.raise_signal(signal.SIGTERM))
    assert main(["submit", str(photos), "--weights", str(trained), "--out", str(tmp_path / "s.csv")]) == 130
    assert "s.csv.unfinished keeps what is done, and the same command goes on" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="a folder that not even root may write")
def test_places_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("carvana_lib.cli.commands._load", lambda _: pytest.fail("the work began"))
    (tmp_path / "file").touch()
    (tmp_path / "s.csv").mkdir()
    (tmp_path / "link.json").symlink_to("/proc/x.json")
    photo, closed = str(tmp_path / "file"), ("/proc/new", str(tmp_path / "file" / "new"))
    for folder in closed:
        for call in (
            ["evaluate", "--json", f"{folder}/s.json"],
            ["evaluate", "--figure", f"{folder}/f.png"],
            ["predict", photo, "--out", folder],
            ["submit", str(tmp_path), "--out", f"{folder}/s.csv"],
            ["export", "--out", f"{folder}/net.onnx"],
        ):
            assert f"cannot write '{folder}" in wrong_use(capsys, *call)
    assert "cannot write" in wrong_use(capsys, "evaluate", "--json", str(tmp_path / "link.json"))
    assert "'/dev/null' is not a file" in wrong_use(capsys, "evaluate", "--json", "/dev/null")
    said = wrong_use(capsys, "evaluate", "--json", str(tmp_path / "s.json"))
    assert "--json writes a CSV beside it: " in said
    assert "s.csv' is a folder" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link.json", "s.csv"]


def test_a_tilde_that_no_shell_replaced_is_the_home_directory(trained, carvana, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(carvana, home / "data")
    shutil.copytree(trained, home / "run")
    call = ["evaluate", "--weights=~/run", "--data=~/data", "--json=~/new/s.json", "--figure=~/new/f.png"]
    assert main(call) == 0
    assert json.loads((home / "new" / "s.json").read_text())["n_images"] == 8
    assert main(["predict", "~/data/train/*_01.jpg", "--weights=~/run", "--out=~/masks"]) == 0
    assert len(list((home / "masks").glob("*_mask.png"))) == 8
    assert main(["submit", "~/data/train", "--weights=~/run", "--out=~/s.csv"]) == 0
    assert build_parser().parse_args(["check-data", "~/data"]).root == home / "data"
    load = build_parser().parse_args(["download", "~/data", "--zips=~/zips"])
    assert (load.folder, load.zips) == (home / "data", home / "zips")
    start = ["--start=~/run", "--preset", "quick", "--norm", "batch"]
    assert main(["train", "--data=~/data", "--out=~/again", *TINY, *start]) == 0
    # Matplotlib may keep a hidden folder there.
    assert sorted(path.name for path in home.iterdir() if path.name[0] != ".") == [
        "again",
        "data",
        "masks",
        "new",
        "run",
        "s.csv",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_home_that_is_not_known_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no home directory for ~nobody-here/x" in wrong_use(capsys, "predict", "a.jpg", "--out=~nobody-here/x")
    assert list(tmp_path.iterdir()) == []


def test_patterns_are_replaced_where_the_shell_leaves_them(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "c[1].png", "d.jpg"):
        draw(4, 1)[0].save(name)
    assert main(["predict", "*.png", "b.png", "c[1].png", "--weights", str(trained), "--out", "masks"]) == 0
    names = sorted(path.name for path in Path("masks").glob("*_mask.png"))
    assert names == ["a_mask.png", "b_mask.png", "c[1]_mask.png"]
    assert "no file matches test/*.jpg: check the folder" in failure(capsys, "predict", "test/*.jpg", "--out", "m")
    assert matching([Path("d.jpg"), Path("?.jpg")]) == [Path("d.jpg")]
    # What a folder's refusal advises is a call that works.
    advice = failure(capsys, "predict", ".", "--out", "m", "--weights", trained).split("name the photos in it (")[1]
    assert main(["predict", advice.split(")")[0].replace("*.jpg", "*.png"), "--weights", str(trained), "--out=m"]) == 0


def test_without_a_console_a_command_works(trained, carvana, tmp_path, capsys, monkeypatch):
    """pythonw and some hosts set both streams to None."""
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    weights = ["--weights", str(trained)]
    call = ["evaluate", *weights, "--data", str(carvana), "--fold", "all", "--json", str(tmp_path / "s.json")]
    assert main(call) == 0
    assert main(["submit", str(carvana / "train"), *weights, "--out", str(tmp_path / "s.csv")]) == 0
    assert main(["check-data", str(carvana)]) == 0
    assert main(["check-data", str(tmp_path / "gone")]) == 1
    assert main(["train", "--preset", "quick", "--data", str(carvana), "--out", str(tmp_path / "run"), *TINY]) == 0
    with pytest.raises(SystemExit):
        main(["paint"])
    assert len(read_submission(tmp_path / "s.csv", 64, 96)) == 32


def test_without_a_console_the_library_works(carvana, tmp_path, monkeypatch):
    """A program with a window and no console has no `sys.stderr`, and calls the library itself."""
    monkeypatch.setenv("CARVANA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "stderr", None)
    assert len(fit(tiny(epochs=1), carvana, tmp_path / "run")) == 1
    model, config = load_model(tmp_path / "run")
    dataset = CarvanaDataset(list_pairs(find_data(carvana), [1]), config.size)
    assert len(evaluate(model, dataset).names) == 8
    assert list(baselines(None, dataset)) == ["all background"]
    assert len(check_data(carvana)[0]) == 32
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("said nowhere", CarvanaWarning, stacklevel=1)


def test_progress_bars_come_from_one_place():
    """tqdm itself fails where there is no `sys.stderr`."""
    library = Path(carvana_lib.__file__).parent
    using = [path.name for path in library.rglob("*.py") if "from tqdm" in path.read_text(encoding="utf-8")]
    assert using == ["progress.py"]
