import errno
import os
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import pytest
from helpers import no_locks, write_pair
from PIL import Image

from carvana_lib.base import files
from carvana_lib.base.errors import CarvanaError, CarvanaWarning
from carvana_lib.cli.main import main
from carvana_lib.data import CarvanaDataset, list_pairs
from carvana_lib.images import read_mask
from carvana_lib.prepare import cache
from carvana_lib.prepare.cache import cached_dataset, load_arrays

SIZE = (48, 32)


def test_cached_photos_are_the_decoded_ones(carvana, tmp_path):
    pairs = list_pairs(carvana)
    cached, plain = cached_dataset(pairs, SIZE, tmp_path, progress=False), CarvanaDataset(pairs, SIZE)
    for ours, theirs in zip(cached.batch(range(32)), plain.batch(range(32)), strict=True):
        assert (ours == theirs).all()
    assert (cached.masks() == plain.masks()).all()


def test_the_second_time_nothing_is_decoded(carvana, tmp_path, monkeypatch):
    pairs = list_pairs(carvana)
    first = load_arrays(pairs, SIZE, tmp_path, progress=False)
    monkeypatch.setattr(cache, "read_pair", lambda *_: pytest.fail("decoded again"))
    second = load_arrays(pairs, SIZE, tmp_path, progress=False)
    assert (first[0] == second[0]).all()
    assert not second[0].flags.writeable


def test_a_changed_file_or_size_is_decoded_again(broken, tmp_path):
    folder = tmp_path / "cache"
    before = load_arrays(list_pairs(broken), SIZE, folder, progress=False)[0].copy()
    name = write_pair(broken, 17, 1)
    for kind, ending in (("train", ".jpg"), ("train_masks", "_mask.gif")):
        target = list_pairs(broken)[0].name
        os.replace(broken / kind / f"{name}{ending}", broken / kind / f"{target}{ending}")
    after = load_arrays(list_pairs(broken), SIZE, folder, progress=False)[0]
    assert (before[0] != after[0]).any()
    assert (before[1:] == after[1:]).all()
    assert load_arrays(list_pairs(broken), (24, 16), folder, progress=False)[0].shape == (3, 16, 24, 3)


def test_an_unusable_file_leaves_nothing_behind(broken, tmp_path):
    pairs = list_pairs(broken)
    pairs[0].photo.write_text("text")
    pairs[2].mask.write_text("text")
    with pytest.raises(CarvanaError, match=r"is not an image.*\(and 1 more faults"):
        load_arrays(pairs, SIZE, tmp_path / "cache", progress=False)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_named_before_the_work(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(CarvanaError, match=r"needs 0\.00 GB for 3 photos at 48x32 and has"):
        load_arrays(list_pairs(broken), SIZE, tmp_path / "cache", progress=False)


def test_a_second_build_waits_for_the_first_and_decodes_nothing(broken, tmp_path, monkeypatch):
    pairs, folder, real, decoded, said = list_pairs(broken), tmp_path / "cache", cache.read_pair, [], Queue()

    def read_when_the_other_waits(photo, mask, size, *more):
        if not decoded:
            assert "Another process decodes these photos" in said.get(timeout=1000)
        decoded.append(photo)
        return real(photo, mask, size)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(cache, "read_pair", read_when_the_other_waits)
    monkeypatch.setattr(files, "print", lambda text, file: said.put(text), raising=False)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: load_arrays(pairs, SIZE, folder, progress=False), range(2))
    assert (first[0] == second[0]).all()
    assert decoded == [pair.photo for pair in pairs]
    assert [entry.name for entry in folder.iterdir()] == [cache.cache_key(pairs, SIZE)]


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS])
def test_where_there_are_no_locks_the_build_that_lost_the_race_uses_the_other_one(broken, tmp_path, monkeypatch, error):
    pairs, folder, real, built = list_pairs(broken), tmp_path / "cache", cache._decode_all, []

    def decode_twice(*arguments):
        monkeypatch.setattr(cache, "_decode_all", real)
        built.append(load_arrays(pairs, SIZE, folder, progress=False))
        real(*arguments)

    no_locks(monkeypatch, error)
    monkeypatch.setattr(cache, "_decode_all", decode_twice)
    assert (load_arrays(pairs, SIZE, folder, progress=False)[0] == built[0][0]).all()
    assert [entry.name for entry in folder.iterdir()] == [cache.cache_key(pairs, SIZE)]


@pytest.mark.parametrize("locks", [True, False])
def test_what_a_killed_build_left_is_removed_and_where_there_are_no_locks_after_a_day(
    broken, tmp_path, monkeypatch, locks
):
    old, new = tmp_path / "cache" / "old.building-1", tmp_path / "cache" / "new.building-1"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    if not locks:
        no_locks(monkeypatch)
    load_arrays(list_pairs(broken), SIZE, tmp_path / "cache", progress=False)
    assert (old.exists(), new.exists()) == (False, not locks)


@pytest.mark.parametrize("kind", ["photo", "mask"])
def test_a_file_of_another_time_is_another_entry(broken, kind):
    pairs = list_pairs(broken)
    before = cache.cache_key(pairs, SIZE)
    assert cache.cache_key(pairs, SIZE) == before
    os.utime(getattr(pairs[1], kind), (1, 1))
    assert cache.cache_key(pairs, SIZE) != before


def test_an_empty_cache_file_is_made_again(broken, tmp_path):
    pairs, folder = list_pairs(broken), tmp_path / "cache"
    whole = load_arrays(pairs, SIZE, folder, progress=False)[1].copy()
    (folder / cache.cache_key(pairs, SIZE) / "masks.npy").write_bytes(b"")
    assert (load_arrays(pairs, SIZE, folder, progress=False)[1] == whole).all()


def test_a_file_that_vanished_is_named(broken, tmp_path):
    pairs = list_pairs(broken)
    pairs[1].mask.unlink()
    with pytest.raises(CarvanaError, match=rf"{pairs[1].mask.name} cannot be read .*check-data"):
        load_arrays(pairs, SIZE, tmp_path / "cache", progress=False)


def test_a_build_is_never_taken_for_abandoned(broken, tmp_path, monkeypatch):
    folder, seen = tmp_path / "cache", []
    rename = os.rename

    def look_then_rename(building, done):
        os.utime(building, (0, 0))
        cache._remove_abandoned(folder)
        seen.append(building.is_dir())
        rename(building, done)

    monkeypatch.setattr(os, "rename", look_then_rename)
    load_arrays(list_pairs(broken), SIZE, folder, progress=False)
    assert seen == [True]


def test_what_was_not_used_for_a_month_is_removed_and_nothing_else(broken, tmp_path):
    folder, pairs = tmp_path / "cache", list_pairs(broken)
    kept = folder / "photos of a holiday"
    kept.mkdir(parents=True)
    used, forgotten = (cache.cache_key(pairs, size) for size in ((24, 16), (12, 8)))
    for size in ((24, 16), (12, 8)):
        load_arrays(pairs, size, folder, progress=False)
    for name in (used, forgotten, kept.name):
        os.utime(folder / name, (1, 1))
    load_arrays(pairs, (24, 16), folder, progress=False)
    load_arrays(pairs, SIZE, folder, progress=False)
    assert {entry.name for entry in folder.iterdir()} == {kept.name, used, cache.cache_key(pairs, SIZE)}


def test_the_cache_says_its_size_and_can_be_emptied(broken, monkeypatch, tmp_path, capsys):
    folder, pairs = tmp_path / "my cache", list_pairs(broken)
    monkeypatch.setenv("CARVANA_CACHE", str(folder))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{folder}: 0.00 GB in 0 sets of decoded photos\n"
    for size in ((960, 640), (480, 320)):
        load_arrays(pairs, size, progress=False)
    (folder / "mine.txt").write_text("keep")
    assert main(["cache"]) == 0
    first, *sets = capsys.readouterr().out.splitlines()
    # Three photos of three bytes a pixel, and three masks of one.
    assert first == f"{folder}: {3 * 4 * (960 * 640 + 480 * 320) / 1e9:.2f} GB in 2 sets of decoded photos"
    assert [line.split()[0] for line in sets] == ["480x320", "960x640"]
    assert all("used 0 days ago" in line for line in sets)
    assert main(["cache", "--clear"]) == 0
    assert "removed, 0.01 GB are free again" in capsys.readouterr().out
    assert [entry.name for entry in folder.iterdir()] == ["mine.txt"]


def test_a_large_cache_says_so_when_it_grows(broken, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cache, "_LARGE", 1000)
    load_arrays(list_pairs(broken), SIZE, tmp_path / "cache")
    assert "cache takes 0.0 GB now: `carvana cache --clear` empties it" in capsys.readouterr().err
    load_arrays(list_pairs(broken), SIZE, tmp_path / "cache")
    assert "takes" not in capsys.readouterr().err


def test_the_home_directory_may_be_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CARVANA_CACHE", "~/decoded")
    assert cache.cache_folder() == tmp_path / "decoded"


def test_inverted_masks_are_hinted_at_where_photos_are_used(broken, tmp_path):
    pairs = list_pairs(broken)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached_dataset(pairs, SIZE, tmp_path / "cache", progress=False)
    inverted = Image.fromarray(~read_mask(pairs[1].mask))
    inverted.save(pairs[1].mask)
    with pytest.warns(CarvanaWarning, match=rf"^1 of 3 masks look inverted, such as {pairs[1].mask}: .*make car white"):
        cached_dataset(pairs, SIZE, tmp_path / "cache", progress=False)
