"""What the options of the command line may hold, and the one line that answers a wrong one."""

from __future__ import annotations

import argparse
import os
import typing
from pathlib import Path

from .files import temporary_file

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
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def probability(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability from 0 to 1")
    return value


def new_file(text: str) -> Path:
    """A file to write, refused here rather than after the work if it cannot be one."""
    path = Path(text)
    if not path.name or os.path.isdir(path):
        raise argparse.ArgumentTypeError(f"{text!r} is a folder: name a file in it")
    if len(os.fsencode(temporary_file(path).name)) > 255:
        raise argparse.ArgumentTypeError(f"the name {path.name[:20]}... is too long for a file")
    return path


def new_picture(text: str) -> Path:
    """A picture to write, in the format its name says."""
    path = new_file(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {', '.join(PICTURES)}")
    return path
