"""Damage files at random and read them: is each one refused with a clear message, or read right?

    python -m benchmarks.reliability.fuzz [--count 5000] [--seed 0] [--json FILE]

A failure is one of these:
- an exception other than CarvanaError;
- more than 2 seconds of processor time for one file;
- more than 1 GB of memory for the whole process, PyTorch included;
- where the format has checksums, a result that differs from that of the undamaged file.

Settings, run lengths and CSV are text. Damaged text may be valid and mean something else; `other` counts such files,
and a second way of reading checks each of them. JPEG and GIF have no checksums. `other` counts the damaged pictures
that are read as another picture; only for files that were cut short this is a failure.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from carvana_lib.base.errors import CarvanaError
from carvana_lib.config import TrainConfig, preset
from carvana_lib.data import Pair, list_pairs
from carvana_lib.extras.submission import read_submission, rle_decode, rle_encode
from carvana_lib.images import read_mask, read_pair
from carvana_lib.prepare.unpack import unpack
from carvana_lib.run.fit import fit
from carvana_lib.run.folder import prepare_run
from carvana_lib.run.weights import load_model, save_weights

from ..common import SAMPLE, command_line, peak_gb, write

SECONDS, GIGABYTES = 2.0, 1.0
HEIGHT, WIDTH = 40, 60


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        content: an undamaged file.
        read: reads a file and returns bytes that are equal if, and only if, the content read is equal.
        checked: whether the format has checksums, so that other bytes are a failure.
    """

    name: str
    content: bytes
    read: Callable[[Path], bytes]
    checked: bool = True


def kinds(scratch: Path) -> dict[str, Kind]:
    """Every kind by its name. Some undamaged files are made in `scratch`."""
    pair = list_pairs(SAMPLE)[0]
    photo_size = Image.open(pair.photo).size
    png, hard = io.BytesIO(), read_mask(pair.mask)
    Image.fromarray(hard).save(png, "PNG")
    config, run = _run(scratch)
    weights = scratch / "weights.safetensors"
    save_weights(weights, config.build_model(), config)
    rows = {f"00000000000a_{view:02d}.jpg": rle_encode(_mask(view)) for view in range(1, 5)}
    csv = "img,rle_mask\n" + "".join(f"{name},{text}\n" for name, text in rows.items())
    every = (
        Kind("JPEG photo", pair.photo.read_bytes(), lambda p: _read_photo(p, pair), False),
        Kind("GIF mask", pair.mask.read_bytes(), lambda p: read_mask(p, photo_size=photo_size).tobytes(), False),
        Kind("PNG mask", png.getvalue(), lambda p: read_mask(p, photo_size=photo_size).tobytes()),
        Kind("safetensors", weights.read_bytes(), _read_weights),
        Kind("checkpoint", (run / "last.pt").read_bytes(), lambda p: _read_checkpoint(p, run, config)),
        Kind("config JSON", (run / "config.json").read_bytes(), lambda p: _read_config(p, run, config), False),
        Kind("zip", _zip(), _read_zip),
        Kind("run lengths", rows["00000000000a_01.jpg"].encode(), _read_rle, False),
        Kind("CSV", csv.encode(), _read_csv, False),
    )
    return {kind.name: kind for kind in every}


def fuzz(kind: Kind, count: int, seed: int, scratch: Path) -> dict[str, object]:
    """Read `count` damaged files of one kind, and count the outcomes (see the module for what a failure is)."""
    expected = kind.read(_written(scratch, kind, kind.content))
    outcomes, slowest, failures = Counter(), 0.0, []
    for number in range(count):
        content, damage = mutate(kind.content, np.random.default_rng([seed, number]))
        path = _written(scratch, kind, content)
        began = time.thread_time()
        try:
            outcome = "same" if kind.read(path) == expected else "other"
        except CarvanaError:
            outcome = "refused"
        except Exception:
            outcome = traceback.format_exc(limit=-2)
        seconds = time.thread_time() - began
        slowest = max(slowest, seconds)
        if outcome == "other" and (kind.checked or (damage == "cut" and kind.name.endswith(("photo", "mask")))):
            outcome = f"read as something else after {damage}"
        if outcome not in ("same", "other", "refused") or seconds > SECONDS:
            failures.append({"number": number, "damage": damage, "seconds": round(seconds, 2), "what": outcome})
            outcome = "failed"
        outcomes[outcome] += 1
    return {"files": count, **outcomes, "slowest_seconds": round(slowest, 3), "failures": failures}


def mutate(content: bytes, generator: np.random.Generator) -> tuple[bytes, str]:
    """`content` with damage of a random kind, and the name of the kind."""
    data = bytearray(content)
    damage = str(generator.choice(["bits", "bytes", "cut", "hole", "repeat", "extremes", "digits", "tail"]))
    # Headers are in the first bytes: half of all damage goes there.
    span = len(data) if generator.random() < 0.5 else min(len(data), 256)
    start = int(generator.integers(span))
    length = int(generator.integers(1, 64))
    if damage == "bits":
        for place in generator.integers(span, size=int(generator.integers(1, 9))):
            data[place] ^= 1 << int(generator.integers(8))
    elif damage == "bytes":
        data[start : start + length] = generator.bytes(length)
    elif damage == "cut":
        del data[start:]
    elif damage == "hole":
        del data[start : start + length]
    elif damage == "repeat":
        data[start:start] = data[start : start + length] * int(generator.integers(1, 9))
    elif damage == "extremes":
        data[start : start + 4] = bytes([int(generator.choice([0, 127, 128, 255]))]) * 4
    elif damage == "digits":
        places = [place for place, byte in enumerate(data) if 48 <= byte < 58] or [start]
        for place in generator.choice(places, size=3):
            data[place] = int(generator.choice(list(b'0123456789-+._eE \n",')))
    else:
        data += generator.bytes(length)
    return bytes(data), damage


def _written(scratch: Path, kind: Kind, content: bytes) -> Path:
    path = scratch / f"damaged {kind.name}"
    path.write_bytes(content)
    return path


def _read_photo(path: Path, pair: Pair) -> bytes:
    image, mask = read_pair(path, pair.mask, (WIDTH, HEIGHT))
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert mask.shape == (HEIGHT, WIDTH)
    return image.tobytes()


def _read_weights(path: Path) -> bytes:
    model, config = load_model(path)
    return config.to_json().encode() + _digest(model.state_dict())


def _read_checkpoint(path: Path, run: Path, config: TrainConfig) -> bytes:
    with _in_place_of(run / "last.pt", path):
        state = prepare_run(run, config, resume=True)
    assert state is not None
    return _digest(state)


def _read_config(path: Path, run: Path, config: TrainConfig) -> bytes:
    """Also checks that settings which were read are written unchanged."""
    with _in_place_of(run / "config.json", path):
        prepare_run(run, config, resume=True)
    read = TrainConfig.from_json(path.read_bytes(), path)
    assert TrainConfig.from_json(read.to_json()) == read
    return read.to_json().encode()


@contextmanager
def _in_place_of(file: Path, other: Path) -> Iterator[None]:
    whole = file.read_bytes()
    shutil.copy(other, file)
    try:
        yield
    finally:
        file.write_bytes(whole)


def _read_zip(path: Path) -> bytes:
    inside = path.parent / "inside"
    inside.mkdir(exist_ok=True)
    before = sorted(entry.name for entry in path.parent.iterdir())
    target = inside / "train"
    try:
        unpack(path, target, progress=False)
        return b"".join(file.name.encode() + file.read_bytes() for file in sorted(target.iterdir()))
    finally:
        shutil.rmtree(target, ignore_errors=True)
        assert list(inside.iterdir()) == []
        assert sorted(entry.name for entry in path.parent.iterdir()) == before


def _read_rle(path: Path) -> bytes:
    text = path.read_bytes().decode("latin-1")
    mask = rle_decode(text, HEIGHT, WIDTH)
    numbers = [int(word) for word in text.split()]
    pixels = {start + k for start, length in zip(numbers[::2], numbers[1::2], strict=True) for k in range(length)}
    assert set((np.flatnonzero(mask) + 1).tolist()) == pixels
    assert set(text) <= set("0123456789 \t\n\r\x0b\x0c")
    return mask.tobytes()


def _read_csv(path: Path) -> bytes:
    masks = read_submission(path, HEIGHT, WIDTH)
    text = path.read_text("utf-8", "surrogateescape").replace('"', "")
    # splitlines would end lines at more characters than CSV does.
    rows = [line.split(",") for line in text.split("\n") if line.replace(",", "").strip()][1:]
    assert [name.lstrip(" ") for name, _ in rows] == list(masks)
    for _, text in rows:
        rle_decode(text, HEIGHT, WIDTH)
    return b"".join(mask.tobytes() for mask in masks.values())


def _digest(state: object) -> bytes:
    """A SHA-256 of tensors and numbers in nested dicts and lists."""
    if isinstance(state, torch.Tensor):
        return hashlib.sha256(str(state.dtype).encode() + state.cpu().numpy().tobytes()).digest()
    if isinstance(state, dict):
        return b"".join(repr(key).encode() + _digest(value) for key, value in state.items())
    if isinstance(state, list | tuple):
        return b"".join(map(_digest, state))
    return repr(state).encode()


def _mask(number: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (y - 20) ** 2 + (x - 20 - number) ** 2 < 200


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for view in range(1, 5):
            archive.writestr(f"train/00000000000a_{view:02d}.jpg", np.random.default_rng(view).bytes(2000))
    return content.getvalue()


def _run(scratch: Path) -> tuple[TrainConfig, Path]:
    """The settings and the run folder of a tiny training. The folder keeps only config.json and last.pt."""
    data, run = scratch / "data", scratch / "run"
    for name in ("train", "train_masks"):
        (data / name).mkdir(parents=True)
    for pair in list_pairs(SAMPLE):
        if pair.view == 1:
            (data / "train" / pair.photo.name).symlink_to(pair.photo.resolve())
            (data / "train_masks" / pair.mask.name).symlink_to(pair.mask.resolve())
    config = preset("quick", size=(24, 16), base_channels=2, depth=1, epochs=1, batch_size=8, precision="float32")
    fit(config, data, run, progress=False)
    for path in run.rglob("*"):
        if path.is_file() and path.name not in ("config.json", "last.pt"):
            path.unlink()
    return config, run


def main() -> None:
    parser = command_line(__doc__, "fuzz.json")
    parser.add_argument("--count", type=int, default=5000, help="files in all (default: 5000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as scratch:
        every = kinds(Path(scratch))
        for name, kind in every.items():
            results[name] = fuzz(kind, -(-options.count // len(every)), options.seed, Path(scratch))
            print(name, json.dumps({**results[name], "failures": results[name]["failures"][:3]}), flush=True)
    peak = peak_gb()
    failed = [name for name, result in results.items() if result["failures"]]
    files = sum(result["files"] for result in results.values())
    write(options.json, {"files": files, "seed": options.seed, "peak_gb": peak, **results})
    print(f"{files} files, peak memory {peak:.2f} GB; failed: {', '.join(failed) or 'none'}.")
    sys.exit(1 if failed or peak > GIGABYTES else 0)


if __name__ == "__main__":
    main()
