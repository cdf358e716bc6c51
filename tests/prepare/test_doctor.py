import errno
import io
import os
import shutil
import struct
import sys
import zlib

import numpy as np
import pytest
from helpers import SIZE, car_name, draw, write_pair
from PIL import Image

from carvana_lib.base.errors import CarvanaError
from carvana_lib.cli.main import main
from carvana_lib.data import list_pairs
from carvana_lib.prepare.doctor import check_data, examine

WIDTH, HEIGHT = SIZE


@pytest.fixture
def broken(tmp_path):
    """Three cars, two views each, for a test to damage."""
    for number in (10, 11, 12):
        for view in (1, 2):
            write_pair(tmp_path / "data", number, view)
    return tmp_path / "data"


def photo(root):
    return sorted((root / "train").iterdir())[0]


def mask(root):
    return sorted((root / "train_masks").iterdir())[0]


def cut(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def save_photo(root, change, **options):
    """Replace the first photo by `change` of it."""
    changed = change(draw(10, 1)[0])
    # Another photo in the same place is compressed as the others are, unless that is the damage.
    changed.save(photo(root), **{"format": "JPEG", "quality": 95, **options})


def save_mask(root, change):
    """Replace the first mask by `change` of its grey levels, as PNG."""
    path = mask(root)
    values = change(draw(10, 1)[1].astype(np.uint8) * 255)
    Image.fromarray(values.astype(np.uint8)).save(path.with_suffix(".png"))
    path.unlink()


def heic(root):
    """Replace the first photo by the beginning of an iPhone's."""
    path = photo(root).rename(photo(root).with_suffix(".heic"))
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500))


def exif(turn):
    note = Image.Exif()
    note[0x0112] = turn
    return note


def soft(values):
    small = Image.fromarray(values).resize((WIDTH // 4, HEIGHT // 4))
    return np.asarray(small.resize(SIZE, Image.Resampling.BILINEAR))


def three_valued(values):
    values = values.copy()
    values[:5, :5] = 128
    return values


def two_frames(root):
    first, second = (Image.fromarray(draw(10, view)[1]) for view in (1, 2))
    first.save(mask(root), save_all=True, append_images=[second])


def in_scan(content, share, kind=b"\xff\xda"):
    """A place in the pixels of a JPEG: `share` of the way from its first scan to its end."""
    start = content.index(kind) + 14
    return start + int(share * (len(content) - 2 - start))


def grey_below(root, **options):
    """The decoder paints what is missing grey, because the end is marked."""
    save_photo(root, lambda p: p.resize((480, 320)).resize(SIZE), **options)
    content = photo(root).read_bytes()
    photo(root).write_bytes(content[: in_scan(content, 0.5)] + b"\xff\xd9")


def hole(root, share=0.4, **options):
    """As a bad block on a disk leaves it."""
    save_photo(root, lambda p: p, **options)
    content = photo(root).read_bytes()
    start = in_scan(content, share)
    photo(root).write_bytes(content[:start] + bytes(400) + content[start + 400 :])


def more_than_its_pixels(root):
    """The header says that the photo is lower than it is."""
    content = bytearray(photo(root).read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 2] = (HEIGHT // 2).to_bytes(2)
    photo(root).write_bytes(content)


def as_folder(path):
    path.unlink()
    path.mkdir()


def link(path, target):
    path.unlink()
    path.symlink_to(target)


def nested(folder):
    """`train` becomes `train/train`, as after unpacking into a folder made for it."""
    folder.rename(folder.with_name("inner"))
    folder.mkdir()
    folder.with_name("inner").rename(folder / folder.name)


def pack(folder):
    shutil.make_archive(str(folder), "zip", folder)
    shutil.rmtree(folder)


def half_in_hq(root):
    (root / "train_hq").mkdir()
    shutil.copy(photo(root), root / "train_hq" / f"{car_name(13)}_01.jpg")


def other_size(root):
    photo_, values = draw(10, 1, (WIDTH * 2, HEIGHT * 2))
    photo_.save(photo(root), quality=95)
    Image.fromarray(values).save(mask(root))


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def many_scans(root):
    """A small progressive JPEG with its last scan a thousand times."""
    save_photo(root, lambda p: p, progressive=True)
    content = photo(root).read_bytes()
    last = content.rindex(b"\xff\xda")
    scans = content.count(b"\xff\xda")
    photo(root).write_bytes(content[:-2] + content[last:-2] * (1001 - scans) + content[-2:])


def sixteen_bits(car):
    """A PNG file of 16-bit RGB, which Pillow does not write: 1 where there is car."""
    rows = np.zeros((HEIGHT, WIDTH, 3), ">u2")
    rows[car] = 1
    return png(rows, bits=16, colour=2)


def png(rows, bits, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, colour, 0, 0, 0)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def as_png(path, content):
    path.unlink()
    path.with_suffix(".png").write_bytes(content)


def save_picture(path, picture):
    path.unlink()
    picture.save(path.with_suffix(".png"))


def cut_from(car):
    return Image.fromarray(car.astype(np.uint8) * 255)


def coloured(car):
    """Red and green cars, which are the same grey."""
    values = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    values[car] = (255, 0, 0)
    values[: HEIGHT // 2][car[: HEIGHT // 2]] = (0, 130, 0)
    return Image.fromarray(values)


def half_a_frame(root):
    """A note on a second frame, cut short: Pillow falls over it when it counts the frames."""
    content = mask(root).read_bytes()
    mask(root).write_bytes(content[:-1] + b"!\xf9\x01\x01\x00;")


def exchanged(root):
    (root / "train").rename(root / "other")
    (root / "train_masks").rename(root / "train")
    (root / "other").rename(root / "train_masks")


def page(path):
    path.write_text("<!DOCTYPE html>\n<html><title>Kaggle: sign in</title></html>")


def new(path, content=b"x"):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


# Each kind of damage: what is done, and what the one line about it must say.
DAMAGE = {
    "photo without a mask": (lambda r: mask(r).unlink(), ["_01.jpg has no mask", "add", "or remove"]),
    "mask without a photo": (lambda r: photo(r).unlink(), ["_mask.gif has no photo", "or remove the mask"]),
    "text named .jpg": (lambda r: photo(r).write_text("words"), ["_01.jpg is not an image", "replace or remove"]),
    "lower half grey": (grey_below, ["_01.jpg is damaged", "truncated", "replace"]),
    "lower half grey, progressive": (
        lambda r: grey_below(r, progressive=True),
        ["_01.jpg is damaged (its last scans are missing): replace"],
    ),
    "hole of zeros inside": (hole, ["_01.jpg is damaged", "replace"]),
    "hole of zeros, progressive": (
        lambda r: hole(r, 0.6, progressive=True),
        ["_01.jpg is damaged (a hole of zeros inside): replace"],
    ),
    "hole of zeros between restart markers": (
        lambda r: hole(r, restart_marker_rows=1),
        ["_01.jpg is damaged", "replace"],
    ),
    "text named .gif": (lambda r: mask(r).write_text("words"), ["_mask.gif is not an image", "replace or remove"]),
    "web page named .jpg": (lambda r: page(photo(r)), ["_01.jpg is a web page", "log in"]),
    "Git LFS pointer": (
        lambda r: photo(r).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        ["_01.jpg only says where Git LFS", "git lfs pull"],
    ),
    "photo of no bytes": (lambda r: photo(r).write_bytes(b""), ["_01.jpg is empty (0 bytes)", "again"]),
    "mask of no bytes": (lambda r: mask(r).write_bytes(b""), ["_mask.gif is empty (0 bytes)", "again"]),
    "file of zeros": (lambda r: photo(r).write_bytes(b"\0" * 5000), ["_01.jpg holds only zeros", "copy it"]),
    "truncated photo": (lambda r: cut(photo(r)), ["_01.jpg is damaged", "truncated"]),
    "truncated mask": (lambda r: cut(mask(r), 0.95), ["_mask.gif is damaged", "replace"]),
    "PNG named .jpg": (lambda r: save_photo(r, lambda p: p, format="PNG"), ["_01.jpg is a PNG file", "convert it"]),
    "mask saved as JPEG": (
        lambda r: mask(r).rename(mask(r).with_suffix(".jpg")),
        ["_01.jpg has no mask", "_mask.jpg is a JPEG, which blurs"],
    ),
    "CMYK photo": (lambda r: save_photo(r, lambda p: p.convert("CMYK")), ["_01.jpg is stored as CMYK", "convert it"]),
    "grey photo": (lambda r: save_photo(r, lambda p: p.convert("L")), ["_01.jpg is stored as L", "convert it"]),
    "photo of one colour": (
        lambda r: save_photo(r, lambda p: Image.new("RGB", p.size, 9)),
        ["_01.jpg has a single colour", "replace or remove"],
    ),
    "EXIF upside down": (
        lambda r: save_photo(r, lambda p: p.rotate(180), exif=exif(3)),
        ["_01.jpg is turned by its EXIF note (orientation 3)", "save both upright"],
    ),
    "EXIF on its side": (
        lambda r: save_photo(r, lambda p: p.rotate(90, expand=True), exif=exif(6)),
        ["_01.jpg is turned by its EXIF note (orientation 6)", "save both upright"],
    ),
    "mask of another size": (
        lambda r: Image.new("1", (8, 8)).save(mask(r)),
        ["_mask.gif is 8x8 but its photo is 96x64", "use a mask of the photo's size"],
    ),
    "three-valued mask": (
        lambda r: save_mask(r, three_valued),
        ["_mask.png is not two-valued", "values are 0, 128, 255)"],
    ),
    "anti-aliased mask": (lambda r: save_mask(r, soft), ["_mask.png is anti-aliased, not two-valued", "threshold it"]),
    "inverted mask": (lambda r: save_mask(r, lambda v: 255 - v), ["_mask.png is inverted", "make car white"]),
    "empty mask": (lambda r: save_mask(r, lambda v: v * 0), ["_mask.png marks no car", "replace it"]),
    "mask of the whole photo": (lambda r: save_mask(r, lambda v: v * 0 + 255), ["marks the whole photo", "replace it"]),
    "mask of two frames": (two_frames, ["_mask.gif has several frames", "save it as one"]),
    "wrong name": (lambda r: new(r / "train" / "me.jpg"), ["me.jpg is not named <12 hex", "rename or remove"]),
    "copy with a number": (
        lambda r: shutil.copy(photo(r), r / "train" / f"{photo(r).stem} (1).jpg"),
        ["_01 (1).jpg is not named <12 hex", "rename or remove"],
    ),
    "one view in capitals and in small letters": (
        lambda r: new(r / "train" / f"{car_name(10)}_01.jpg".upper()),
        [f"{car_name(10)}_01.jpg and {car_name(10).upper()}_01.JPG are the same view", "remove one"],
    ),
    "photo twice as .jpg and .png": (
        lambda r: draw(10, 1)[0].save(photo(r).with_suffix(".png")),
        ["_01.png and", "_01.jpg are the same view", "remove one"],
    ),
    "two masks of a photo": (
        lambda r: Image.fromarray(draw(10, 1)[1]).save(mask(r).with_suffix(".png")),
        ["_mask.png and", "_mask.gif are masks of the same photo", "remove one"],
    ),
    "one photo under two names": (
        lambda r: shutil.copy(photo(r), r / "train" / f"{car_name(10)}_02.jpg"),
        ["_02.jpg is the same photo as", "_01.jpg", "remove one"],
    ),
    "one photo in two folds": (
        lambda r: shutil.copy(photo(r), r / "train" / f"{car_name(11)}_01.jpg"),
        ["b_01.jpg is the same photo as", "a_01.jpg (folds 0 and 1)", "remove one"],
    ),
    "one mask under two names": (
        lambda r: shutil.copy(mask(r), r / "train_masks" / f"{car_name(10)}_02_mask.gif"),
        ["_02_mask.gif is the same mask as", "_01_mask.gif", "put the right mask there"],
    ),
    "one car in two splits": (
        lambda r: new(r / "test" / f"{car_name(11)}_09.jpg"),
        [f"both hold photos of car {car_name(11)} (1 such cars)", "keep a car's photos together"],
    ),
    "photos spread over train and train_hq": (half_in_hq, ["d_01.jpg (1 such photos) is not in", "complete it"]),
    "HQ and normal photos of a car": (
        lambda r: [write_pair(r, 10, view) for view in (3, 4)] and save_photo(r, lambda p: p, quality=60),
        ["_01.jpg is compressed differently", "HQ and normal photos are mixed", "take all from one"],
    ),
    "views of a car in two sizes": (
        lambda r: [write_pair(r, 10, view) for view in (3, 4)] and other_size(r),
        ["_01.jpg is 192x128, other photos of its car 96x64", "replace it by the original"],
    ),
    "mask among the photos": (
        lambda r: shutil.copy(mask(r), r / "train"),
        ["_mask.gif is a mask among the photos", "move it to"],
    ),
    "PNG mask among the photos": (
        lambda r: Image.fromarray(draw(10, 1)[1]).save(r / "train" / f"{car_name(10)}_01_mask.png"),
        ["_mask.png is not named", "move it to", "train_masks"],
    ),
    "photo among the masks": (
        lambda r: shutil.copy(photo(r), r / "train_masks"),
        ["_01.jpg is a photo among the masks", "move it to"],
    ),
    "mask without _mask in its name": (
        lambda r: mask(r).rename(mask(r).with_name(f"{car_name(10)}_01.gif")),
        ["_01.jpg has no mask", "_01.gif has no _mask in its name: rename it"],
    ),
    "something else among the masks": (
        lambda r: new(r / "train_masks" / "notes.txt"),
        ["notes.txt is not named", "rename or remove"],
    ),
    "something else among the photos": (
        lambda r: new(r / "train" / "photo.psd"),
        ["photo.psd is not a photo (.jpg, .jpeg, .png, .bmp,", "remove or convert"],
    ),
    "HEIC photo": (heic, ["_01.heic is a HEIC photo", "pip install pillow-heif"]),
    "hidden photo": (
        lambda r: shutil.copy(photo(r), r / "train" / f".{photo(r).name}"),
        ["_01.jpg is hidden", "rename or remove"],
    ),
    "Thumbs.db": (lambda r: new(r / "train" / "Thumbs.db"), ["train/Thumbs.db left by Windows", "remove"]),
    ".DS_Store": (lambda r: new(r / ".DS_Store"), [".DS_Store left by macOS", "remove"]),
    "__MACOSX": (lambda r: new(r / "__MACOSX" / "._train"), ["__MACOSX left by macOS", "remove"]),
    "AppleDouble files": (
        lambda r: [new(r / "train" / f"._{path.name}") for path in (r / "train").iterdir()],
        ["_01.jpg and 5 more left by macOS", "remove"],
    ),
    "stopped download of a browser": (
        lambda r: new(r / "train_hq.zip.crdownload"),
        ["train_hq.zip.crdownload left by a download that was stopped", "remove"],
    ),
    "half unpacked folder": (
        lambda r: (r / ".train_hq.unpacking").mkdir(),
        [".train_hq.unpacking left by a download that was stopped", "remove"],
    ),
    "folder among the photos": (
        lambda r: (r / "train" / "train").mkdir(),
        ["train/train is a folder", "move its photos up"],
    ),
    "folder among the masks": (
        lambda r: (r / "train_masks" / "old").mkdir(),
        ["train_masks/old is a folder", "move its masks up"],
    ),
    "folder that links to itself": (
        lambda r: (r / "train" / "loop").symlink_to(r / "train", target_is_directory=True),
        ["train/loop is a folder", "remove"],
    ),
    "folder named like a photo": (lambda r: as_folder(photo(r)), ["_01.jpg is a folder", "photos up"]),
    "link in a circle": (lambda r: link(mask(r), mask(r)), ["_mask.gif is a link that leads back", "replace it"]),
    "pipe among the photos": (lambda r: as_pipe(photo(r)), ["_01.jpg is a pipe or a device", "put the file itself"]),
    "photo without an end": (lambda r: link(photo(r), "/dev/zero"), ["_01.jpg is a pipe or a device", "put the file"]),
    "far too big a file": (lambda r: os.truncate(photo(r), 10**9), ["_01.jpg has 1000 MB, more than 200", "replace"]),
    "JPEG of a thousand scans": (many_scans, ["_01.jpg consists of 1001 scans", "plain JPEG"]),
    "photo under two names with another comment": (
        lambda r: draw(10, 1)[0].save(r / "train" / f"{car_name(10)}_02.jpg", quality=95, comment="copy"),
        ["_02.jpg is the same photo as", "_01.jpg", "remove one"],
    ),
    "mask under two names, saved otherwise": (
        lambda r: [
            (r / "train_masks" / f"{car_name(10)}_02_mask.gif").unlink(),
            Image.fromarray(draw(10, 1)[1]).save(r / "train_masks" / f"{car_name(10)}_02_mask.png"),
        ],
        ["_02_mask.png is the same mask as", "_01_mask.gif", "put the right mask there"],
    ),
    "mask of 16 bits a colour": (
        lambda r: as_png(mask(r), sixteen_bits(draw(10, 1)[1])),
        ["_mask.png has more than 8 bits", "threshold it"],
    ),
    "transparent mask": (
        lambda r: save_picture(mask(r), Image.merge("LA", [Image.new("L", SIZE, 255), cut_from(draw(10, 1)[1])])),
        ["_mask.png is transparent in places", "black and white"],
    ),
    "mask in three colours": (
        lambda r: save_picture(mask(r), coloured(draw(10, 1)[1])),
        ["_mask.png is not two-valued", "values are 0, #008200, #ff0000)"],
    ),
    "second frame of a mask damaged": (half_a_frame, ["_mask.gif is damaged (index", "replace or remove"]),
    "link to nothing": (lambda r: link(photo(r), "gone.jpg"), ["_01.jpg is a link to a file that is gone", "replace"]),
}

# Damage to the folder as a whole: nothing in it can be read.
RUIN = {
    "no folder": (shutil.rmtree, "no folder .*check the path"),
    "packed photos": (lambda r: pack(r / "train"), r"train\.zip is still packed: unzip it"),
    "packed masks": (lambda r: pack(r / "train_masks"), r"train_masks\.zip is still packed: unzip it"),
    "half downloaded": (
        lambda r: [shutil.rmtree(r / "train"), new(r / "train.zip.part")],
        r"train\.zip is half downloaded: `carvana download .*` goes on",
    ),
    "train/train": (lambda r: nested(r / "train"), "train holds no photos: .*one folder too deep; move the files"),
    "one folder too high": (nested, "holds no train/ folder: name .*data/data, which holds one"),
    "no photos": (lambda r: [path.unlink() for path in (r / "train").iterdir()], "holds no photos: put"),
    "photos' folder a link to nothing": (
        lambda r: [shutil.rmtree(r / "train"), (r / "train").symlink_to("gone")],
        "train is a link that leads to no folder: put the folder",
    ),
    "masks' folder a file": (
        lambda r: [shutil.rmtree(r / "train_masks"), new(r / "train_masks")],
        "train_masks is a file, not a folder: put the folder",
    ),
    "photos and masks exchanged": (exchanged, "train holds no photos: it holds masks; move them to .*train_masks and"),
    "masks' folder a link to the photos": (
        lambda r: [shutil.rmtree(r / "train_masks"), (r / "train_masks").symlink_to("train")],
        "train_masks leads to .*train: put the folder of the masks",
    ),
    "no masks folder": (lambda r: shutil.rmtree(r / "train_masks"), "holds no train_masks/ folder"),
}


def test_there_are_enough_kinds():
    assert len(DAMAGE) + len(RUIN) >= 25


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_fault_is_named_with_file_and_cure(broken, kind):
    damage, parts = DAMAGE[kind]
    assert check_data(broken, progress=False)[1] == []
    damage(broken)
    faults = check_data(broken, progress=False)[1]
    # A fault that has two sides, such as a photo and its mask, may be two lines.
    assert len(faults) in (1, 2)
    assert all("\n" not in fault and str(broken) in fault for fault in faults)
    for part in parts:
        assert any(part in fault for fault in faults), faults


@pytest.mark.parametrize("kind", RUIN)
def test_a_folder_that_cannot_be_read_is_one_line_with_the_cure(broken, kind):
    damage, message = RUIN[kind]
    damage(broken)
    with pytest.raises(CarvanaError, match=message) as caught:
        check_data(broken, progress=False)
    assert "\n" not in str(caught.value)


def test_a_folder_one_too_low(broken):
    with pytest.raises(CarvanaError, match=r"name the folder above it, .*data$"):
        check_data(broken / "train")


@pytest.mark.parametrize("what", ["photo", "mask", "photos' folder", "root"])
def test_what_may_not_be_read_is_named(tmp_path, what):
    # Permissions do not bind the administrator, so the check runs as nobody in a child process.
    folder = tmp_path / "open"
    for number in (10, 11):
        write_pair(folder, number, 1)
    expected = check_data(folder, progress=False)
    assert expected[1] == []
    locked = {"photo": photo(folder), "mask": mask(folder), "photos' folder": folder / "train", "root": folder}[what]
    readable = [path for path in (folder, *folder.rglob("*")) if path != locked]
    for path in (*tmp_path.parents, tmp_path):
        if path.owner() == tmp_path.owner() and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o011)
    for path in readable:
        path.chmod(0o755)
    locked.chmod(0)
    try:
        text = in_child(lambda: said(folder))
    finally:
        locked.chmod(0o755)
    assert str(locked) in text
    assert "change its permissions (chmod" in text


def said(folder):
    try:
        return "\n".join(check_data(folder, progress=False)[1])
    except CarvanaError as error:
        return str(error)


def in_child(work):
    """What `work` returns in a child process that is not the administrator."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(writing, work().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text


def test_what_is_unusual_but_right_is_no_fault(tmp_path):
    root = tmp_path / "Fotos vom Auto ÄÖ 車 (1)"
    for view in (1, 2, 3, 4):
        write_pair(root, 10, view, mask_suffix=".png" if view % 2 else ".gif")
    values = draw(10, 2)[1].astype(np.uint8)
    for suffix, levels in ((".png", values * 255), (".PNG", values)):
        path = root / "train_masks" / f"{car_name(10)}_0{2 if suffix == '.png' else 4}_mask"
        path.with_suffix(".gif").unlink()
        Image.fromarray(levels if suffix == ".png" else draw(10, 4)[1].astype(np.uint8)).save(path.with_suffix(suffix))
    photo(root).rename(photo(root).with_suffix(".JPG"))
    (root / "README.md").write_text("mine")
    (root / "metadata.csv").write_text("id,year\n")
    new(root / "test" / f"{car_name(99)}_01.jpg")
    shutil.copytree(root / "train", root / "train_hq")
    link_target = root / "train" / f"{car_name(10)}_02.jpg"
    kept = root / "kept.jpg"
    link_target.rename(kept)
    link_target.symlink_to(kept)
    pairs, faults = check_data(root, progress=False)
    assert faults == []
    assert len(pairs) == len(list_pairs(root)) == 4


def test_every_fault_is_listed(broken):
    for file in (broken / "train").iterdir():
        file.write_text("words")
    write_pair(broken, 15, 1)
    pairs, faults = check_data(broken, progress=False)
    assert len(pairs) == 7
    # Six that are no images, five of them the same as the first.
    assert sum("is not an image" in fault for fault in faults) == 6


def test_a_bad_disk_is_named(broken, monkeypatch):
    def fail(self):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    assert all("check the disk" in fault for fault in check_data(broken, progress=False)[1])


def test_each_file_is_read_once(broken):
    opened = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" and watching else None)
    watching = True
    check_data(broken, progress=False)
    watching = False
    files = [str(path) for folder in ("train", "train_masks") for path in (broken / folder).iterdir()]
    assert sorted(name for name in opened if name in files) == sorted(files)


def test_a_picture_too_big_is_refused(broken):
    content = io.BytesIO()
    Image.new("1", (11_000, 10_000)).save(content, "PNG")
    photo(broken).write_bytes(content.getvalue())
    assert "has 110 megapixels, more than 100" in check_data(broken, progress=False)[1][0]


def test_damage_that_once_ended_the_doctor(broken):
    save_photo(broken, lambda image: image.resize((WIDTH, 5)))
    assert any("other photos of its car" in fault for fault in check_data(broken, progress=False)[1])
    save_photo(broken, lambda image: image, exif=b"Exif\0\0garbagegarbage")
    assert check_data(broken, progress=False)[1] == []


def test_a_folder_named_exif_hides_no_wrong_size(broken, tmp_path):
    root = broken.rename(tmp_path / "EXIF photos")
    save_photo(root, lambda image: image.convert("L"))
    save_mask(root, lambda values: values[:-2])
    assert any("but its photo is" in fault for fault in check_data(root, progress=False)[1])


def test_what_systems_leave_is_no_photo_that_lies_alone(broken):
    shutil.copytree(broken / "train", broken / "train_hq")
    new(broken / "train_hq" / ".DS_Store")
    assert not any("only that folder is read" in fault for fault in check_data(broken, progress=False)[1])


def test_a_jpeg_with_more_pixels_than_its_header_says_is_named(broken):
    more_than_its_pixels(broken)
    faults = check_data(broken, progress=False)[1]
    assert any(
        "_01.jpg is damaged (" in fault and "bytes are left over when it is complete)" in fault for fault in faults
    )


def test_whole_jpegs_of_all_kinds_are_whole(broken):
    """Zeros may be all that plain white is, and bytes may follow the picture."""
    white = Image.new("RGB", (960, 640), "white")
    white.paste(draw(10, 1)[0])
    kinds = [{}, {"optimize": True}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}]
    for picture in (white, white.resize((959, 641))):
        Image.fromarray(np.asarray(picture)[..., 0] < 200).save(mask(broken))
        for options in kinds:
            for more in (b"", b"more" * 5000):
                picture.save(photo(broken), quality=95, **options)
                photo(broken).write_bytes(photo(broken).read_bytes() + more)
                named = [fault for fault in check_data(broken, progress=False)[1] if "damaged" in fault]
                assert named == [], (options, bool(more))


def test_a_rule_that_a_whole_set_breaks_is_stated_once(broken, capsys):
    for number in range(50):
        new(broken / "train" / f"IMG 00{number:02d} (1).jpg")
        new(broken / "train_masks" / f"IMG 00{number:02d} (1) mask.png")
    faults = examine(broken, progress=False).faults
    assert len(faults) == 2
    for fault, name in zip(faults, ("train/IMG 00{} (1).jpg", "train_masks/IMG 00{} (1) mask.png"), strict=True):
        assert fault.startswith(f"{broken}/{name.format('00')} is not named <12 hex digits>_<2 digits>")
        assert fault.endswith(f"(50 such files, another is {name.format('01').partition('/')[2]}; --every lists all)")
    assert main(["check-data", str(broken)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["check-data", str(broken), "--every"]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 101


def test_other_kinds_are_stated_once_too(broken):
    for number in range(30):
        new(broken / "train" / f"{car_name(number)}_09.jpg", b"words")
    for name in ("a.jpg", "b.jpg"):
        new(broken / "train" / name)
    faults = check_data(broken, progress=False)[1]
    assert len(faults) == 3
    assert "_09.jpg has no mask: add" in faults[0]
    assert "(30 such files, another is 000000000001_09.jpg" in faults[0]


def test_a_folder_that_training_refuses_is_named(broken):
    assert examine(broken, progress=False).suspicions == []
    for folder in ("train", "train_masks"):
        for file in (broken / folder).glob(f"{car_name(11)}*"):
            file.unlink()
    _, faults, suspicions = examine(broken, progress=False)
    assert faults == []
    with pytest.raises(CarvanaError, match=r"no cars of fold \[1\]"):
        list_pairs(broken, [1])
    assert len(suspicions) == 1
    for part in (f"{broken} holds no cars for validation (fold 1): `carvana train` needs more", "modulo 10", "2 to 9"):
        assert part in suspicions[0]
