"""What each command does: `run_train` is `carvana train`, and so on."""

from __future__ import annotations

import argparse
import shlex
import sys
import typing
import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ..base.errors import CarvanaError, CarvanaWarning
from ..config import TrainConfig, preset
from .options import new_file, printable

if typing.TYPE_CHECKING:
    from ..unet import UNet


def run_train(options: argparse.Namespace) -> int:
    from ..base.devices import make_accelerator
    from ..data import find_data
    from ..run.fit import fit
    from ..run.folder import has_checkpoint, has_config, put_aside, read_config, replaced_run

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
    roots = [find_data(root) for root in options.data or [None]]
    aside = put_aside(out)
    if options.resume and not has_checkpoint(out) and has_config(aside):
        what = f"{out} holds nothing to resume; {aside} does, left by an --overwrite that was stopped"
        raise CarvanaError(f"{what}: rename it to {out}, or train in another --out")
    if options.resume and not has_checkpoint(out):
        print(f"Nothing to resume in {out}: training starts from the beginning", file=sys.stderr)
    accelerator = make_accelerator(config.precision, config.accumulate)
    with replaced_run(out) if options.overwrite and accelerator.is_main_process else nullcontext():
        # The others wait, or they would find the old run half gone.
        accelerator.wait_for_everyone()
        history = fit(config, roots, out, resume=options.resume)
    # At the interpreter's exit, gloo's threads now and then abort the process.
    accelerator.end_training()
    best = max(history, key=lambda row: row["dice"])
    print(f"Best validation Dice {best['dice']:.4f} (epoch {best['epoch']:.0f}). Weights, curves and settings: {out}")
    data = " ".join(f"--data {shlex.quote(str(root))}" for root in roots)
    print(f"Next: carvana evaluate --weights {shlex.quote(str(out))} {data}")
    return 0


def _load(options: argparse.Namespace) -> tuple[UNet, TrainConfig]:
    """The net of --weights, on the best device."""
    from ..base.devices import best_device
    from ..run.weights import load_model, load_pretrained

    # Not load_model("small"), which would take a folder of that name that happens to lie here.
    if not options.weights:
        return load_pretrained(device=best_device())
    model, config = load_model(options.weights, best_device())
    if config.classes and getattr(options, "threshold", 0.5) != 0.5:
        raise CarvanaError(f"--threshold tells two classes apart, and this net has {len(config.classes)}: leave it out")
    return model, config


def run_evaluate(options: argparse.Namespace) -> int:
    from ..data import TRAINING_FOLDS, CarvanaDataset, find_data, list_pairs
    from ..evaluation import baselines, evaluate
    from ..extras.class_baselines import class_baselines
    from ..prepare.cache import cached_dataset
    from .report import table, write_json, write_rows

    rows_file = options.json and options.json.with_name(options.json.name.removesuffix(".json") + ".csv")
    if options.figure and options.figure in (options.json, rows_file):
        options.parser.error(f"--json and --figure would both write {options.figure}")
    if rows_file:
        try:
            new_file(str(rows_file))
        except argparse.ArgumentTypeError as error:
            options.parser.error(f"--json writes a CSV beside it: {error}")
    model, config = _load(options)
    roots = [find_data(root) for root in options.data or [None]]
    dataset = cached_dataset(list_pairs(roots, options.fold), config.size)
    if dataset.classes != config.classes:
        known, here = (", ".join(names) or "two classes" for names in (config.classes, dataset.classes))
        raise CarvanaError(
            f"the net knows {known}, and the data have {here}: use weights that were trained on such data"
        )
    training = [pair for pair in list_pairs(roots) if pair.fold in TRAINING_FOLDS]
    scored = {pair.car for pair in dataset.pairs}
    cars = sorted({pair.car for pair in training} - scored)
    seen = len(scored & {pair.car for pair in training})
    kind = "group" if any(pair.group for pair in dataset.pairs) else "car"
    if seen:
        what = f"{seen} of the {len(scored)} {kind}s to score are of the training folds 2 to 9"
        why = "weights that were trained on them score too high here"
        left = "" if cars else f"; no other {kind} is left for the baselines of mean masks"
        warnings.warn(f"{what}: {why}; --fold 1 or 0 scores held-out {kind}s{left}", CarvanaWarning, stacklevel=2)
    # The mean masks of 64 cars are those of 266, and their small masks are read in seconds.
    chosen = set(cars[:: -(-len(cars) // 64) or 1])
    training = CarvanaDataset([pair for pair in training if pair.car in chosen], (240, 160)) if cars else None
    result = evaluate(model, dataset, options.threshold, options.tta, options.batch_size)
    rows = (class_baselines if dataset.classes else baselines)(training, dataset)
    summary = result.summary()
    print(table(summary, rows, kind))
    if len(roots) > 1:
        here = set(result.names)
        inside = {root: here & {pair.name for pair in list_pairs(root)} for root in roots}
        summary["folders"] = {str(root): result.part(names).summary() for root, names in inside.items() if names}
        for root, part in summary["folders"].items():
            print(f"{root}: Dice {part['dice']:.4f}, accuracy {part['accuracy']:.4f}, {part['n_images']} photos")
    if options.json:
        settings = {
            "weights": str(options.weights or "small"),
            "fold": list(options.fold),
            "n_cars_of_training_folds": seen,
        }
        settings |= {"threshold": options.threshold, "tta": options.tta, "size": config.size}
        write_json(options.json, {**summary, **settings, "baselines": rows})
        write_rows(result, rows_file)
        print(f"Scores: {options.json}; a row a photo: {rows_file}")
    if options.figure:
        from ..pictures.figures import plot_extremes, save_figure

        save_figure(plot_extremes(model, dataset, result, threshold=options.threshold, tta=options.tta), options.figure)
        print(f"Best and worst masks: {options.figure}")
    return 0


def run_predict(options: argparse.Namespace) -> int:
    from .mask_files import matching, predict_files

    photos = matching(options.photos)
    model, config = _load(options)
    for mask in predict_files(model, config, photos, options.out, options.threshold, options.tta):
        print(printable(str(mask)))
    return 0


def run_submit(options: argparse.Namespace) -> int:
    from .mask_files import photos_in
    from .submit import submit_photos

    photos = photos_in(options.folder)
    model, config = _load(options)
    if config.classes:
        raise CarvanaError(
            f"Kaggle's file holds one mask a photo, and this net tells {len(config.classes)} classes apart"
        )
    print(f"{options.out}: {submit_photos(model, config, photos, options.out, options.threshold, options.tta)} photos")
    return 0


def run_export(options: argparse.Namespace) -> int:
    from ..extras.onnx import export_onnx

    model, config = _load(options)
    path = export_onnx(model, config.size, options.out)
    width, height = config.size
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB; photos N x 3 x {height} x {width} in 0..1 -> probabilities")
    return 0


def run_download(options: argparse.Namespace) -> int:
    from ..prepare.download import download

    new = download(options.folder, options.hq, options.zips)
    print(f"{options.folder} is {'complete' if new else 'there already: nothing to download'}")
    print(f"Next: carvana check-data {shlex.quote(str(options.folder))}")
    return 0


def run_check_data(options: argparse.Namespace) -> int:
    from ..base.devices import best_device
    from ..prepare.description import describe_folder
    from ..prepare.doctor import examine
    from ..run.weights import load_pretrained

    if options.describe or options.write:
        for line in describe_folder(options.root, options.write).splitlines():
            print(printable(line))
        return 0
    model, config = load_pretrained(device=best_device())
    pairs, faults, suspicions = examine(options.root, (model, config.size), options.every)
    for line in [*faults, *(f"Suspicion: {suspicion}" for suspicion in suspicions)]:
        print(printable(line))
    kind, more = (
        "groups" if any(p.group for p in pairs) else "cars",
        f", suspicions: {len(suspicions)}" * bool(suspicions),
    )
    many = f"{len(pairs)} pairs of {len({pair.car for pair in pairs})} {kind}"
    print(f"{options.root}: {many} checked, faults: {len(faults) or 'none'}{more}")
    return 1 if faults else 0


def run_cache(options: argparse.Namespace) -> int:
    from ..prepare.cache import cache_entries, cache_folder, clear_cache

    folder = cache_folder()
    entries = cache_entries(folder)
    total = sum(size for _, size, _ in entries)
    print(f"{folder}: {total / 1e9:.2f} GB in {len(entries)} sets of decoded photos")
    if options.clear:
        print(f"removed, {clear_cache(folder) / 1e9:.2f} GB are free again")
        return 0
    for entry, size, seconds in entries:
        print(f"  {entry.name.partition('-')[0]} {size / 1e9:.2f} GB, used {seconds / 86400:.0f} days ago")
    return 0
