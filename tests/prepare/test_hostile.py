"""Files made to do harm, and files damaged at random."""

import base64
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import threading
import types
import warnings
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import draw, tiny
from PIL import Image
from traitlets.utils.bunch import Bunch

from benchmarks.reliability import fuzz
from carvana_lib.base.errors import CarvanaError
from carvana_lib.config import TrainConfig
from carvana_lib.extras.submission import read_submission, rle_decode
from carvana_lib.images import read_mask, read_photo
from carvana_lib.prepare.unpack import MOST_BYTES, unpack
from carvana_lib.run.checkpoint import load_checkpoint
from carvana_lib.run.weights import load_model, save_weights
from carvana_lib.widgets.segmenter import PhotoSegmenter

KINDS = ("JPEG photo", "GIF mask", "PNG mask", "safetensors", "checkpoint", "config JSON", "zip", "run lengths", "CSV")


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("fuzz")
    return fuzz.kinds(scratch), scratch


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_or_read_right(every_kind, kind):
    kinds, scratch = every_kind
    assert set(kinds) == set(KINDS)
    result = fuzz.fuzz(kinds[kind], 40, 1, scratch)
    assert result["failures"] == []
    assert result["refused"] >= 4


class Payload:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["torch", "torch, old format", "pickle"])
def test_a_pickle_that_runs_code_is_refused(tmp_path, form):
    made = tmp_path / "made"
    file = tmp_path / "last.pt"
    if form == "pickle":
        file.write_bytes(pickle.dumps({"parts": Payload(made)}))
    else:
        torch.save({"parts": Payload(made)}, file, _use_new_zipfile_serialization=form == "torch")
    (tmp_path / "weights.safetensors").write_bytes(file.read_bytes())
    with pytest.raises(CarvanaError, match=r"last\.pt is damaged"):
        load_checkpoint(tmp_path)
    with pytest.raises(CarvanaError, match=r"last\.pt is a checkpoint to resume from, and not weights"):
        load_model(file)
    with pytest.raises(CarvanaError, match=r"weights\.safetensors holds no usable weights"):
        load_model(tmp_path / "weights.safetensors")
    assert not made.exists()
    # The payload works: it is not loaded, that is all.
    pickle.loads(pickle.dumps(Payload(made)))
    assert made.exists()


def test_weights_with_a_changed_bit_are_refused(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_weights(file, tiny().build_model(), tiny())
    load_model(file)
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(CarvanaError, match=r"damaged .*get the file again"):
        load_model(file)


def entry(name, mode=0o100644):
    info = zipfile.ZipInfo("x")
    info.filename, info.external_attr = name, mode << 16
    return info


def make_zip(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in entries:
            archive.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED)
    return path


GOOD = (entry("train/a.jpg"), b"photo")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("../evil.jpg"), "would leave the folder"),
        (entry("train/../../evil.jpg"), "would leave the folder"),
        (entry("/etc/evil.jpg"), "would leave the folder"),
        (entry("C:\\evil.jpg"), "would leave the folder"),
        (entry("train\\..\\..\\evil.jpg"), "would leave the folder"),
        (entry("\\\\server\\evil.jpg"), "would leave the folder"),
        (entry("a.jpg:stream"), "would leave the folder"),
        (entry("train\\evil.jpg"), "not every system can write"),
        (entry("train/ev\nil.jpg"), "not every system can write"),
        (entry("train/link.jpg", stat.S_IFLNK | 0o777), "is a link or a device"),
        (entry("train/pipe.jpg", stat.S_IFIFO | 0o777), "is a link or a device"),
        (entry("train/device.jpg", stat.S_IFBLK | 0o777), "is a link or a device"),
        (entry("other/A.JPG"), "holds a.jpg 2 times"),
    ],
)
def test_a_zip_that_reaches_out_is_refused(tmp_path, bad, message):
    inside = tmp_path / "inside"
    archive = make_zip(tmp_path / "train.zip", GOOD, (bad, b"/etc/passwd"))
    with pytest.raises(CarvanaError, match=message) as caught:
        unpack(archive, inside / "train", progress=False)
    assert "\n" not in str(caught.value)
    assert list(inside.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "train.zip"]


def test_a_zip_bomb_is_refused(tmp_path):
    growing = make_zip(tmp_path / "growing.zip", GOOD, (entry("train/b.jpg"), b"\0" * 5_000_000))
    with pytest.raises(CarvanaError, match="would grow more than 20 times"):
        unpack(growing, tmp_path / "train", progress=False)
    # A zip that says less than it holds stops there, and its sum is wrong.
    lying = bytearray(make_zip(tmp_path / "lying.zip", (entry("b.jpg"), b"\0" * 5_000_000)).read_bytes())
    size = struct.pack("<L", 5_000_000)
    while (place := lying.find(size)) >= 0:
        lying[place : place + 4] = struct.pack("<L", 1000)
    (tmp_path / "lying.zip").write_bytes(lying)
    with pytest.raises(CarvanaError, match="is damaged"):
        unpack(tmp_path / "lying.zip", tmp_path / "train", progress=False)
    huge = bytearray(make_zip(tmp_path / "huge.zip", (entry("b.jpg"), b"\0" * 5_000_000)).read_bytes())
    while (place := huge.find(size)) >= 0:
        huge[place : place + 4] = struct.pack("<L", MOST_BYTES + 1)
    (tmp_path / "huge.zip").write_bytes(huge)
    with pytest.raises(CarvanaError, match="has 100 MB"):
        unpack(tmp_path / "huge.zip", tmp_path / "train", progress=False)
    assert not (tmp_path / "train").exists()


def test_a_zip_that_is_none_or_that_needs_a_password(tmp_path):
    (tmp_path / "train.zip").write_bytes(b"PK words")
    with pytest.raises(CarvanaError, match=r"is damaged .*download it again"):
        unpack(tmp_path / "train.zip", tmp_path / "train")
    content = bytearray(make_zip(tmp_path / "train.zip", GOOD).read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + place] |= 1
    (tmp_path / "train.zip").write_bytes(content)
    with pytest.raises(CarvanaError, match="is encrypted"):
        unpack(tmp_path / "train.zip", tmp_path / "train")


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "train").mkdir()
    archive = make_zip(tmp_path / "train.zip", GOOD)
    with pytest.raises(CarvanaError, match="is there already"):
        unpack(archive, tmp_path / "train")
    assert list((tmp_path / "train").iterdir()) == []


def png(width, height, *extra):
    """A PNG that says it has so many pixels, with almost no data."""
    chunks = [(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)), *extra]
    chunks += [(b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    parts = [struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif(width, height):
    """A GIF that says it has so many pixels, with almost no data."""
    content = io.BytesIO()
    Image.new("1", (8, 8)).save(content, "GIF")
    size = struct.pack("<HH", 8, 8)
    return content.getvalue().replace(size, struct.pack("<HH", width, height))


@pytest.mark.parametrize(
    "content",
    [
        png(11_000, 10_000),
        png(2**31 - 1, 2**31 - 1),
        gif(65_535, 65_535),
        png(9, 9, (b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 200_000_000, 1))),
        png(9, 9, (b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 200_000_000, 1))),
    ],
    ids=["PNG", "PNG of the most pixels", "GIF", "text in PNG", "profile in PNG"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_picture_bombs_are_refused(tmp_path, content):
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    for read in (read_photo, read_mask):
        with pytest.raises(CarvanaError, match=r"bomb\.png"):
            read(path)
    with pytest.raises(CarvanaError, match=r"^bomb\.png"):
        read_photo("bomb.png", content=content)


@pytest.mark.parametrize("magic", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"/* XPM */\n", b"8BPS\0\1"])
def test_formats_that_no_photo_has_are_not_even_tried(tmp_path, magic):
    (tmp_path / "photo.jpg").write_bytes(magic + b"\0" * 1000)
    with pytest.raises(CarvanaError, match="is not an image"):
        read_photo(tmp_path / "photo.jpg")


# A grey ramp of 48x32 pixels, written by `cjpeg -arithmetic`.
ARITHMETIC = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoK"
    "CgoKBggLDAsKDAkKCgr/yQALCAAgADABAREA/8wABgAQEAX/2gAIAQEAAD8A/wD0eEp2JtmRptZ74NbDjJq7Uk2VSUFmKJA6dBdk"
    "8l3aerLvUQ9Ms7xjBjbFn9EVQwcVzcEAduiBfAw0LPtW+Kb+oiVt2mqAG1NkHJBUw32ph1xoULEPpUINrMAW/9k="
)


def jpeg(marker, precision=8):
    """A JPEG whose header says that it is of another kind."""
    content = io.BytesIO()
    draw(10, 1)[0].save(content, "JPEG")
    start = content.getvalue().index(b"\xff\xc0")
    header = bytes([0xFF, marker]) + content.getvalue()[start + 2 : start + 4] + bytes([precision])
    return content.getvalue()[:start] + header + content.getvalue()[start + 5 :]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", "a HEIC photo: install pillow-heif .*, or convert it .magick"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC photo"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0hevcmsf1", "a HEIC photo"),
        (
            b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ",
            "a JPEG 2000 photo, which is not read here: convert it .magick",
        ),
        (b"\xff\x4f\xff\x51\0\x2f\0\0", "a JPEG 2000 photo"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL photo, which is not read here: convert it .magick"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL photo"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08", "a JPEG-LS photo"),
        (jpeg(0xC1, 12), "a 12-bit JPEG, which cannot be decoded here: save it as an 8-bit JPEG or PNG .djpeg"),
        (jpeg(0xC3), "a lossless JPEG"),
    ],
)
def test_photos_of_other_formats_are_named_with_a_way_to_convert_them(tmp_path, monkeypatch, start, what):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it was not installed
    path = tmp_path / "my photo.jpg"
    path.write_bytes(start + bytes(1000))
    with pytest.raises(CarvanaError, match=rf"my photo\.jpg is {what}") as caught:
        read_photo(path)
    assert "'" in str(caught.value).split("(")[-1], "a command needs quotes around a name with a space"
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:image file could not be identified")
def test_avif_that_pillow_does_not_read(tmp_path, monkeypatch):
    draw(10, 1)[0].save(tmp_path / "photo.jpg", "AVIF")
    assert read_photo(tmp_path / "photo.jpg").shape == (64, 96, 3)
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    monkeypatch.setattr("PIL.AvifImagePlugin.SUPPORTED", False)
    with pytest.raises(CarvanaError, match=r"is an AVIF photo, .*convert it"):
        read_photo(tmp_path / "photo.jpg")


def test_arithmetic_jpeg_is_read_or_named(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(ARITHMETIC)
    ramp = np.tile(np.linspace(0, 255, 48), (32, 1))
    assert np.abs(read_photo(path)[..., 0] - ramp).max() < 4

    def fail(_):
        raise OSError("broken data stream when reading image file")

    # A Pillow whose JPEG library was built without this coding.
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", fail)
    with pytest.raises(CarvanaError, match=r"is a JPEG with arithmetic coding, .*djpeg .*photo\.jpg"):
        read_photo(path)
    path.write_bytes(jpeg(0xC0))
    with pytest.raises(CarvanaError, match=r"is damaged \(broken data stream"):
        read_photo(path)


def test_heic_is_read_if_pillow_heif_is_installed(tmp_path, monkeypatch):
    """A stand-in for pillow-heif: its format is a BMP behind the first bytes of a HEIC file."""
    start = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    content = io.BytesIO()
    draw(10, 1)[0].save(content, "BMP")

    def opened(file, name):
        return Image.open(io.BytesIO(file.read()[len(start) :]))

    stand_in = types.ModuleType("pillow_heif")
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    stand_in.register_heif_opener = lambda: Image.register_open("HEIF", opened)
    monkeypatch.setitem(sys.modules, "pillow_heif", stand_in)
    monkeypatch.setitem(Image.OPEN, "HEIF", None)
    (tmp_path / "photo.heic").write_bytes(start + content.getvalue())
    assert (read_photo(tmp_path / "photo.heic") == np.asarray(draw(10, 1)[0])).all()
    (tmp_path / "photo.heic").write_bytes(start + b"words")
    with pytest.raises(CarvanaError, match=r"photo\.heic is damaged"):
        read_photo(tmp_path / "photo.heic")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_phones_photo_of_100_megapixels_is_read(tmp_path):
    Image.new("1", (12_500, 8_000), 1).save(tmp_path / "photo.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read_photo(tmp_path / "photo.png", (25, 16)) == 255).all()
    Image.new("1", (12_500, 8_100), 1).save(tmp_path / "photo.png")
    with pytest.raises(CarvanaError, match=r"has 101 megapixels, more than 100: make it smaller"):
        read_photo(tmp_path / "photo.png")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"epochs": ' + "9" * 5000 + "}", '{"epochs": NaN}', '{"learning_rate": 1e999}', b"\xff\xfe{}"],
)
def test_settings_made_to_do_harm_are_refused(text):
    with pytest.raises(CarvanaError):
        TrainConfig.from_json(text)


@pytest.mark.parametrize(
    "text", ["1_0 1", "+1 1", "-1 1", "\u0661 \u0661", "1.0 1", "0x1 1", "1 " + "9" * 5000, "1e1 1"]
)
def test_numbers_that_python_would_take_are_no_run_lengths(text):
    with pytest.raises(CarvanaError, match="not a whole number"):
        rle_decode(text, 4, 4)


def test_more_masks_than_memory_are_refused(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_text("img,rle_mask\n" + "".join(f"{number}.jpg,1 1\n" for number in range(300)))
    with pytest.raises(CarvanaError, match=r"holds more than \d+ masks, too many for memory"):
        read_submission(path, 1280, 1918)


def test_a_header_that_says_it_is_huge(tmp_path):
    path = tmp_path / "weights.safetensors"
    for header in (b"{}", json.dumps({"a": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}}).encode()):
        for length in (len(header), 2**63, 2**64 - 1):
            path.write_bytes(struct.pack("<Q", length) + header)
            with pytest.raises(CarvanaError, match=r"weights\.safetensors"):
                load_model(path)


def test_twenty_uploads_at_once_leave_the_tool_usable():
    """Good, damaged, huge and hostile files, all in the same moment, as twenty threads."""
    model, config = tiny().build_model().eval(), tiny()
    photo = io.BytesIO()
    draw(10, 1, (600, 400))[0].save(photo, "JPEG")
    good = photo.getvalue()
    files = [good, good[: len(good) // 2], b"", b"<html>", png(2**31 - 1, 9), gif(65_535, 65_535)]
    tool = PhotoSegmenter(model, config)
    problems = []

    def upload(number):
        name = f"<b>{number}.jpg"
        content = memoryview(files[number % 6])
        value = Bunch(name=name, type="", size=1, content=content, last_modified=datetime.now(UTC))
        try:
            own = PhotoSegmenter(model, config) if number % 2 else tool
            # ipywidgets 7 has a dict by name.
            old = isinstance(own.upload.value, dict)
            own.upload.set_trait("value", {name: {"content": bytes(content)}} if old else (value,))
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert problems == []
    tool.segment("last", np.asarray(draw(10, 1, (600, 400))[0]))
    assert tool.mask.shape == (400, 600)
    assert "600 x 400 pixels" in tool.message.value


# libtiff writes what a TIFF holds, its directory, after the pixels, as many programs do.
CUT_TIFF = b"II*\0" + (2000).to_bytes(4, "little") + bytes(500)


@pytest.mark.parametrize("content", [CUT_TIFF, b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xd8\xff\xe0\0", b"GIF89a\x09"])
def test_a_picture_of_which_only_the_beginning_is_left_is_damaged(tmp_path, content):
    path = tmp_path / "cut.tif"
    path.write_bytes(content)
    with pytest.raises(CarvanaError, match=r"cut\.tif is damaged \(.*: copy it again, or remove it"):
        read_photo(path)


def test_what_pillow_thinks_of_a_damaged_file_is_not_shown_beside_our_line(tmp_path):
    (tmp_path / "cut.tif").write_bytes(CUT_TIFF)
    code = "from carvana_lib.images import read_photo; read_photo('cut.tif')"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "cut.tif is damaged" in done.stderr
    assert "UserWarning" not in done.stderr
