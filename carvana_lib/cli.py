"""The `carvana` command: train, evaluate, predict, submit, export, download, check-data.

Exit status: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
import typing
import unicodedata
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from .arguments import OneLineParser, count, folds, new_file, new_picture, probability, size
from .config import PRESETS, TrainConfig, preset
from .errors import CarvanaError, CarvanaWarning
from .signals import interrupt_on_sigterm

if typing.TYPE_CHECKING:
    from .unet import UNet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A file's name may hold bytes that are no text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings(), interrupt_on_sigterm():
            warnings.showwarning = _show_warning
            return options.command(options)
    except CarvanaError as error:
        if options.debug:
            raise
        print(f"carvana: {_printable(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\ncarvana: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output went away, as `head` does: nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if options.debug:
            raise
        print(f"carvana: {_unexpected(error)}", file=sys.stderr)
        return 1


def _unexpected(error: Exception) -> str:
    from .devices import is_out_of_memory

    if is_out_of_memory(error):
        return "not enough memory: end other programs, or use smaller photos or sizes"
    reason = _printable(str(error).splitlines()[0] if str(error) else "no message")
    return f"unexpected {type(error).__name__} ({reason}): run again with --debug to see where"


def _printable(line: str) -> str:
    """`line` with an escape for each sign that would end it or steer the terminal, as names of files may hold."""
    keep = (sign.isprintable() or unicodedata.category(sign) == "Zs" for sign in line)  # Zs: spaces of all widths
    return "".join(sign if kept else ascii(sign)[1:-1] for sign, kept in zip(line, keep, strict=True))


def _show_warning(
    message: Warning,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: typing.TextIO | None = None,
    line: str | None = None,
) -> None:
    ours = f"carvana: {_printable(str(message))}\n"
    theirs = warnings.formatwarning(message, category, filename, lineno, line)
    (file or sys.stderr).write(ours if issubclass(category, CarvanaWarning) else theirs)


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser("carvana", description="U-Net on the Carvana car-masking data.")
    shared = OneLineParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    data = OneLineParser(add_help=False)
    data.add_argument(
        "--data",
        type=Path,
        help="folder that holds train/ and train_masks/ (default: $CARVANA_DATA, data/carvana, data/sample)",
    )
    weights = OneLineParser(add_help=False)
    weights.add_argument(
        "--weights",
        type=Path,
        help=".safetensors file, run folder, or the name of weights that come along (default: small, which does)",
    )
    masks = OneLineParser(add_help=False, parents=[weights])
    masks.add_argument("--threshold", type=probability, default=0.5, help="probability above which a pixel is car")
    masks.add_argument("--tta", action="store_true", help="average with the mirrored photo")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train", parents=[shared, data], help="train a U-Net", argument_default=argparse.SUPPRESS
    )
    train.add_argument("--preset", choices=PRESETS, default="small", help="settings to start from (default: small)")
    train.add_argument("--out", type=Path, default=None, help="run folder (default: runs/PRESET)")
    again = train.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", default=False, help="go on with the run in --out")
    again.add_argument("--overwrite", action="store_true", default=False, help="train anew over the run in --out")
    _add_settings(
        train.add_argument_group("settings, each overriding the preset's (carvana_lib/config.py explains them)")
    )
    train.set_defaults(command=run_train, data=None, debug=False, parser=train)

    evaluate = commands.add_parser("evaluate", parents=[shared, data, masks], help="score weights on held-out cars")
    evaluate.add_argument(
        "--fold", type=folds, default="1", help="0 to 9, several such as 0,1, or all (default: 1, validation)"
    )
    evaluate.add_argument("--batch-size", type=count, help="changes speed, not scores")
    evaluate.add_argument("--json", type=new_file, help="write the scores here, and a CSV row a photo beside it")
    evaluate.add_argument("--figure", type=new_picture, help="write a picture of the best and worst masks here")
    evaluate.set_defaults(command=run_evaluate, parser=evaluate)

    predict = commands.add_parser("predict", parents=[shared, masks], help="masks for photos")
    predict.add_argument("photos", type=Path, nargs="+", metavar="PHOTO")
    predict.add_argument("--out", type=Path, required=True, help="folder for <name>_mask.png and <name>_overlay.jpg")
    predict.set_defaults(command=run_predict)

    submit = commands.add_parser("submit", parents=[shared, masks], help="Kaggle's submission file for a folder")
    submit.add_argument("folder", type=Path, metavar="FOLDER", help="folder of photos, Kaggle's test/ say")
    submit.add_argument("--out", type=new_file, required=True, help="the CSV file to write")
    submit.set_defaults(command=run_submit)

    export = commands.add_parser("export", parents=[shared, weights], help="the net as an ONNX file")
    export.add_argument("--out", type=new_file, required=True, help="the .onnx file to write")
    export.set_defaults(command=run_export)

    load = commands.add_parser("download", parents=[shared], help="get Kaggle's photos and masks, and unpack them")
    load.add_argument("folder", type=Path, nargs="?", default=Path("data/carvana"), help="default: data/carvana")
    load.add_argument("--hq", action="store_true", help="the photos in higher quality (train_hq.zip)")
    load.add_argument("--zips", type=Path, metavar="FOLDER", help="take the zips from here, without a connection")
    load.set_defaults(command=run_download)

    check = commands.add_parser("check-data", parents=[shared], help="find what is wrong with a data folder")
    check.add_argument("root", type=Path, metavar="ROOT")
    check.set_defaults(command=run_check)
    return parser


def run_train(options: argparse.Namespace) -> int:
    from .data import find_data
    from .devices import make_accelerator
    from .run_folder import has_checkpoint, has_config, put_aside, read_config, replaced_run
    from .training import fit

    out = options.out or Path("runs") / options.preset
    given = {name: getattr(options, name) for name in typing.get_type_hints(TrainConfig) if hasattr(options, name)}
    resumed = options.resume and has_config(out)
    start = read_config(out) if resumed else preset(options.preset)
    try:
        config = replace(start, **given)
    except CarvanaError as error:
        options.parser.error(str(error))
    if options.overwrite and config.start:
        start_at = Path(config.start).resolve()
        if start_at.is_relative_to(out.resolve()) or start_at.is_relative_to(put_aside(out)):
            options.parser.error(f"--start {config.start} is replaced by --overwrite: name another --out")
    if options.overwrite and Path.cwd().is_relative_to(out.resolve()):
        options.parser.error(f"--overwrite replaces {out}, the folder you are in: go to another")
    root = find_data(options.data)
    aside = put_aside(out)
    if options.resume and not has_checkpoint(out) and has_config(aside):
        raise CarvanaError(
            f"{out} holds nothing to resume; {aside} does, left by an --overwrite that was stopped: "
            f"rename it to {out}, or train anew in another --out"
        )
    if options.resume and not has_checkpoint(out):
        print(f"Nothing to resume in {out}: training starts anew", file=sys.stderr)
    accelerator = make_accelerator(config)
    with replaced_run(out) if options.overwrite and accelerator.is_main_process else nullcontext():
        # The others wait, or they would find the old run half gone.
        accelerator.wait_for_everyone()
        history = fit(config, root, out, resume=options.resume)
    # Left to the interpreter's exit, gloo's threads now and then abort it.
    accelerator.end_training()
    best = max(history, key=lambda row: row["dice"])
    print(f"Best validation Dice {best['dice']:.4f} (epoch {best['epoch']:.0f}). Weights, curves and settings: {out}")
    print(f"Next: carvana evaluate --weights {shlex.quote(str(out))} --data {shlex.quote(str(root))}")
    return 0


def _load(options: argparse.Namespace) -> tuple[UNet, TrainConfig]:
    """The net of --weights, on the best device."""
    from .checkpoint import load_model, load_pretrained
    from .devices import best_device

    # Not load_model("small"), which would take a folder of that name that happens to lie here.
    return load_model(options.weights, best_device()) if options.weights else load_pretrained(device=best_device())


def run_evaluate(options: argparse.Namespace) -> int:
    from .cache import cached_dataset
    from .data import TRAINING_FOLDS, find_data, list_pairs
    from .evaluation import baselines, evaluate, table, write_json

    rows_file = options.json and options.json.with_name(options.json.name.removesuffix(".json") + ".csv")
    if options.figure and options.figure in (options.json, rows_file):
        options.parser.error(f"--json and --figure would both write {options.figure}")
    model, config = _load(options)
    root = find_data(options.data)
    dataset = cached_dataset(list_pairs(root, options.fold), config.size)
    training = [pair for pair in list_pairs(root) if pair.fold in TRAINING_FOLDS]
    result = evaluate(model, dataset, options.threshold, options.tta, options.batch_size)
    rows = baselines(cached_dataset(training, config.size) if training else None, dataset)
    summary = result.summary()
    print(table(summary, rows))
    if options.json:
        settings = {
            "weights": str(options.weights or "small"),
            "fold": list(options.fold),
            "threshold": options.threshold,
            "tta": options.tta,
            "size": config.size,
        }
        write_json(options.json, {**summary, **settings, "baselines": rows})
        result.write_rows(rows_file)
        print(f"Scores: {options.json}; a row a photo: {rows_file}")
    if options.figure:
        from .plotting import plot_extremes, save_figure

        save_figure(plot_extremes(model, dataset, result, threshold=options.threshold, tta=options.tta), options.figure)
        print(f"Best and worst masks: {options.figure}")
    return 0


def run_predict(options: argparse.Namespace) -> int:
    from .prediction import predict_files

    model, config = _load(options)
    for mask in predict_files(model, config, options.photos, options.out, options.threshold, options.tta):
        print(_printable(str(mask)))
    return 0


def run_submit(options: argparse.Namespace) -> int:
    from .prediction import predict_folder
    from .submission import write_submission

    model, config = _load(options)
    masks = predict_folder(model, config, options.folder, options.threshold, options.tta)
    print(f"{options.out}: {write_submission(options.out, masks)} photos")
    return 0


def run_export(options: argparse.Namespace) -> int:
    from .export import export_onnx

    model, config = _load(options)
    path = export_onnx(model, config.size, options.out)
    width, height = config.size
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; photos N x 3 x {height} x {width} in 0..1 -> probabilities")
    return 0


def run_download(options: argparse.Namespace) -> int:
    from .download import download

    if download(options.folder, options.hq, options.zips):
        print(f"{options.folder} is complete")
    else:
        print(f"{options.folder} is there already: nothing to download")
    print(f"Next: carvana check-data {shlex.quote(str(options.folder))}")
    return 0


def run_check(options: argparse.Namespace) -> int:
    from .doctor import check_data

    pairs, faults = check_data(options.root)
    for fault in faults:
        print(_printable(fault))
    cars = len({pair.car for pair in pairs})
    print(f"{options.root}: {len(pairs)} pairs of {cars} cars checked, faults: {len(faults) or 'none'}")
    return 1 if faults else 0


def _add_settings(group: argparse._ArgumentGroup) -> None:
    """One option for each field of TrainConfig."""
    for name, kind in typing.get_type_hints(TrainConfig).items():
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction)
        elif kind == tuple[int, int]:
            group.add_argument(flag, type=size, metavar="WxH")
        elif kind in (int, float):
            group.add_argument(flag, type=kind, metavar="N")
        else:
            group.add_argument(flag, type=lambda text: None if text == "none" else text, metavar="NAME")
