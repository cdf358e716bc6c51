"""Kaggle's file for a folder of photos. Each mask is kept once it is predicted, so nothing is computed twice."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from torch import nn

from ..base.errors import CarvanaError, CarvanaWarning
from ..base.files import locked
from ..base.progress import tqdm
from ..config import TrainConfig
from ..extras.submission import rle_encode, write_rows
from ..prediction import logit, predict_photo

_GO_ON = "then the same command goes on from there"


def submit_photos(
    model: nn.Module, config: TrainConfig, photos: Sequence[Path], out: Path, threshold: float = 0.5, tta: bool = False
) -> int:
    """Write Kaggle's CSV of all `photos`; returns the number of rows.

    Until it is complete, the masks are kept in `<out>.unfinished`. A call that finds this file goes on with it, and
    predicts again only photos that changed since. A photo that cannot be read is a warning; all other photos are
    predicted before a CarvanaError says how many are left. Raises CarvanaError also if the file was made with other
    weights or options, or if a file cannot be written.
    """
    logit(threshold)
    digest = hashlib.sha256(config.to_json().encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    settings = json.dumps([digest.hexdigest(), threshold, tta]).encode() + b"\n"
    unfinished = out.with_name(f"{out.name}.unfinished")
    busy = f"another process works on {out}: wait until it is done, or name another --out"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(unfinished.with_name(f".{unfinished.name}.lock"), busy), open(unfinished, "a+b") as kept:
            done = _read(kept, settings, unfinished)
            stamps = {photo.name: f"{(s := photo.lstat()).st_size} {s.st_mtime_ns}" for photo in photos}
            left = [photo for photo in photos if done.get(photo.name) != stamps[photo.name]]
            faults = []
            for photo in tqdm(left, "Predicting", len(photos), initial=len(photos) - len(left), unit="photo"):
                try:
                    mask = predict_photo(model, photo, config.size, tta) > threshold
                except CarvanaError as error:
                    faults.append(str(error))
                    warnings.warn(str(error), CarvanaWarning, stacklevel=2)
                    continue
                kept.write(json.dumps([photo.name, stamps[photo.name], rle_encode(mask)]).encode() + b"\n")
                kept.flush()
            if faults:
                what = f"{len(faults)} of {len(photos)} photos could not be read, the first: {faults[0]}"
                raise CarvanaError(f"{what}. All other masks are kept in {unfinished}. Mend these photos, {_GO_ON}")
            write_rows(out, _kept_rows(kept, stamps), cure=f"free some space, {_GO_ON}")
        unfinished.unlink()
    except OSError as error:
        raise CarvanaError(f"cannot write {unfinished} ({error}): free some space, {_GO_ON}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {unfinished} keeps what is done, and the same command goes on") from None
    return len(photos)


def _read(kept: BinaryIO, settings: bytes, path: Path) -> dict[str, str]:
    """File name and stamp of each photo whose mask is kept; what a crash left half written is cut off."""
    kept.seek(0)
    first, done, good = kept.readline(), {}, 0
    if first.endswith(b"\n") and first != settings:
        cure = f"call it with those, remove {path}, or name another --out"
        raise CarvanaError(f"{path} holds masks that other weights or options made: {cure}")
    if first == settings:
        good = kept.tell()
        for line in kept:
            try:
                name, stamp, _ = json.loads(line if line.endswith(b"\n") else b"")
            except (TypeError, ValueError):
                break
            done[name] = stamp
            good += len(line)
    kept.truncate(good)
    if not good:
        kept.write(settings)
    return done


def _kept_rows(kept: BinaryIO, stamps: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The kept masks of the photos in `stamps`, with one in memory at a time."""
    kept.seek(0)
    kept.readline()
    wanted = dict(stamps)
    for name, stamp, text in map(json.loads, kept):
        if wanted.get(name) == stamp:
            del wanted[name]
            yield name, text
