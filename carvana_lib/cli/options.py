"""What the options of the command line may hold, and the one line that answers a wrong one."""

from __future__ import annotations

import argparse
import os
import tempfile
import typing
import unicodedata
from contextlib import suppress
from pathlib import Path

from ..base.errors import CarvanaError
from ..base.files import expanded, temporary_file
from ..config import PRESETS, TrainConfig

PICTURES = (".png", ".jpg", ".pdf", ".svg")


class OneLineParser(argparse.ArgumentParser):
    """argparse, but a wrong call is answered in one line."""

    def error(self, message: str) -> typing.NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def size(text: str) -> tuple[int, int]:
    """Width and height."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 240x160")
    return int(width), int(height)


def folds(text: str) -> tuple[int, ...]:
    """Folds in order, each once."""
    if text == "all":
        return tuple(range(10))
    chosen = set(text.split(","))
    if not chosen <= set("0123456789"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a fold from 0 to 9, several such as 0,1, or all")
    return tuple(sorted(int(fold) for fold in chosen))


def count(text: str) -> int:
    """A whole number above 0."""
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")


def probability(text: str) -> float:
    """A number from 0 to 1."""
    with suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a probability from 0 to 1")


def place(text: str) -> Path:
    """A file or folder; `~` is the home directory, also where no shell replaced it, as in --out=~/masks."""
    try:
        return expanded(text)
    except CarvanaError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def new_file(text: str) -> Path:
    """A file to write, refused here rather than after the work if it cannot be one."""
    path = place(text)
    if not path.name or os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: name a file in it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"{text!r} is not a file: name another place")
    if len(os.fsencode(temporary_file(path).name)) > 255:
        raise argparse.ArgumentTypeError(f"the name {path.name[:20]}... is too long for a file")
    _check_writable(Path(os.path.realpath(path)).parent, text)
    return path


def new_folder(text: str) -> Path:
    """A folder to write into, refused here rather than after the work if it cannot be one."""
    path = place(text)
    _check_writable(path, text)
    return path


def _check_writable(folder: Path, text: str) -> None:
    """Refuse a folder in which no file can be made, or that cannot be made itself; nothing is left there."""
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        # Only the attempt tells: permissions do not show a disk that may only be read.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = f"cannot write {text!r} ({folder}: {error.strerror})"
        raise argparse.ArgumentTypeError(f"{why}: change its permissions or name another place") from None


def new_picture(text: str) -> Path:
    """A picture to write, in the format its name says."""
    path = new_file(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {', '.join(PICTURES)}")
    return path


def build_parser() -> argparse.ArgumentParser:
    parser = OneLineParser("carvana", description="U-Net on the Carvana car-masking data.")
    shared = OneLineParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    data = OneLineParser(add_help=False)
    places = "$CARVANA_DATA, data/carvana, data/sample"
    what = f"folder that holds train/ and train_masks/, may be given several times (default: {places})"
    data.add_argument("--data", type=place, action="append", help=what)
    weights = OneLineParser(add_help=False)
    named = "weights of the package by name (default: small)"
    weights.add_argument("--weights", type=place, help=f".safetensors file, run folder, or {named}")
    masks = OneLineParser(add_help=False, parents=[weights])
    masks.add_argument("--threshold", type=probability, default=0.5, help="probability above which a pixel is car")
    masks.add_argument("--tta", action="store_true", help="average with the mirrored photo")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")

    hidden = argparse.SUPPRESS  # only settings that are given override the preset's
    train = commands.add_parser("train", parents=[shared, data], help="train a U-Net", argument_default=hidden)
    train.add_argument("--preset", choices=PRESETS, default="small", help="settings to start from (default: small)")
    train.add_argument("--out", type=place, default=None, help="run folder (default: runs/PRESET)")
    again = train.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", default=False, help="go on with the run in --out")
    again.add_argument("--overwrite", action="store_true", default=False, help="replace the run in --out")
    settings = "settings, each overriding the preset's (carvana_lib/config.py explains them)"
    _add_settings(train.add_argument_group(settings))
    train.set_defaults(data=None, debug=False, parser=train)

    evaluate = commands.add_parser("evaluate", parents=[shared, data, masks], help="score weights on held-out cars")
    which = "0 to 9, several such as 0,1, or all (default: 1, validation)"
    evaluate.add_argument("--fold", type=folds, default="1", help=which)
    evaluate.add_argument("--batch-size", type=count, help="changes speed, not scores")
    evaluate.add_argument("--json", type=new_file, help="write the scores here, and a CSV row a photo beside it")
    evaluate.add_argument("--figure", type=new_picture, help="write a picture of the best and worst masks here")
    evaluate.set_defaults(parser=evaluate)

    predict = commands.add_parser("predict", parents=[shared, masks], help="masks for photos")
    predict.add_argument("photos", type=place, nargs="+", metavar="PHOTO", help="files, or patterns such as test/*.jpg")
    predict.add_argument(
        "--out", type=new_folder, required=True, help="folder for <name>_mask.png and <name>_overlay.jpg"
    )

    submit = commands.add_parser("submit", parents=[shared, masks], help="Kaggle's submission file for a folder")
    submit.add_argument("folder", type=place, metavar="FOLDER", help="folder of photos, for instance Kaggle's test/")
    submit.add_argument("--out", type=new_file, required=True, help="the CSV file to write")

    export = commands.add_parser("export", parents=[shared, weights], help="the net as an ONNX file")
    export.add_argument("--out", type=new_file, required=True, help="the .onnx file to write")

    load = commands.add_parser("download", parents=[shared], help="get Kaggle's photos and masks, and unpack them")
    load.add_argument("folder", type=place, nargs="?", default=Path("data/carvana"), help="default: data/carvana")
    load.add_argument("--hq", action="store_true", help="the photos in higher quality (train_hq.zip)")
    load.add_argument("--zips", type=place, metavar="FOLDER", help="take the zips from here, without a connection")

    check = commands.add_parser("check-data", parents=[shared], help="find what is wrong with a data folder")
    check.add_argument("root", type=place, metavar="ROOT")
    check.add_argument("--every", action="store_true", help="list each file where many have the same fault")
    check.add_argument("--describe", action="store_true", help="print the dataset.toml for a folder of your own")
    check.add_argument("--write", action="store_true", help="as --describe, and put the file into the folder")

    cache = commands.add_parser("cache", parents=[shared], help="the decoded photos that are kept on this disk")
    cache.add_argument("--clear", action="store_true", help="remove them; they are decoded again when they are needed")
    return parser


def _add_settings(group: argparse._ArgumentGroup) -> None:
    """One option for each field of TrainConfig."""
    for name, kind in typing.get_type_hints(TrainConfig).items():
        flag = "--" + name.replace("_", "-")
        if name == "classes":
            continue  # the data give them
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction)
        elif kind == tuple[int, int]:
            group.add_argument(flag, type=size, metavar="WxH")
        elif kind in (int, float):
            group.add_argument(flag, type=kind, metavar="N")
        elif name == "start":
            group.add_argument(flag, type=lambda text: text and str(place(text)), metavar="WEIGHTS")
        else:
            group.add_argument(flag, type=lambda text: None if text == "none" else text, metavar="NAME")


def printable(line: str) -> str:
    """`line` with an escape for each character that would end it or control the terminal: file names may hold such."""
    # Zs: spaces of all widths
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else ascii(c)[1:-1] for c in line)
