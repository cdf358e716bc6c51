import csv
import itertools
import tracemalloc

import numpy as np
import pytest
import torch

from carvana_lib.base.errors import CarvanaError
from carvana_lib.extras.submission import _read_rows, read_submission, rle_decode, rle_encode, write_submission


def test_run_lengths_by_hand():
    mask = np.zeros((2, 6), dtype=bool)
    mask[0, 2:4] = mask[1, 2] = True
    # Row by row from 1: pixels 3, 4 and 9.
    assert rle_encode(mask) == "3 2 9 1"
    assert rle_encode(np.zeros((2, 6), dtype=bool)) == ""
    assert rle_encode(np.ones((2, 6), dtype=bool)) == "1 12"


def test_a_run_goes_on_from_the_end_of_a_row_to_the_next():
    mask = np.zeros((2, 3), dtype=bool)
    mask[0, 2] = mask[1, 0] = True
    assert rle_encode(mask) == "3 2"


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, 1])
def test_round_trip(share):
    mask = np.random.default_rng(0).random((37, 53)) < share
    np.testing.assert_array_equal(rle_decode(rle_encode(mask), 37, 53), mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3 2 9", "3 numbers, not pairs"),
        ("3 two", "not a whole number"),
        ("0 2", "leaves the 6x2 picture"),
        ("12 2", "leaves the 6x2 picture"),
        ("3 0", "'3 0'"),
        ("3 4 5 1", "'5 1' overlaps"),
        ("9 1 3 2", "'3 2' overlaps"),
        ("1 99999999999999999999", "leaves"),
    ],
)
def test_text_that_is_no_mask_is_refused(text, message):
    with pytest.raises(CarvanaError, match=message):
        rle_decode(text, 2, 6)


def test_a_submission_is_read_back(tmp_path):
    generator = np.random.default_rng(0)
    masks = {f"00000000000a_{view:02d}.jpg": generator.random((20, 30)) > 0.5 for view in range(1, 4)}
    path = tmp_path / "submission.csv"
    assert write_submission(path, iter(masks.items())) == 3
    with open(path, newline="") as file:
        assert next(csv.reader(file)) == ["img", "rle_mask"]
    again = read_submission(path, 20, 30)
    assert list(again) == list(masks)
    for name, mask in masks.items():
        np.testing.assert_array_equal(again[name], mask)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfimg,rle_mask\na.jpg,3 2 9 1\nb.jpg,\n",
        b'\xef\xbb\xbf"img","rle_mask"\r\n"a.jpg","3 2 9 1"\r\n"b.jpg",""\r\n',
        b"img,rle_mask\n\na.jpg,3 2 9 1\n\n\nb.jpg,\n\n",
        b"\n \nimg,rle_mask\r\r\na.jpg,3 2 9 1\r\r\nb.jpg,\r\r\n,\n",
        b'img, rle_mask\na.jpg, 3 2 9 1\nb.jpg, ""\n',
        b'img , rle_mask \na.jpg, "3 2 9 1"\nb.jpg, \n',
    ],
    ids=["mark", "mark and quotes", "blank rows", "a blank row after each", "spaces", "spaces and quotes"],
)
def test_what_spreadsheets_make_of_a_submission_is_read(tmp_path, content):
    (tmp_path / "s.csv").write_bytes(content)
    masks = read_submission(tmp_path / "s.csv", 2, 6)
    assert list(masks) == ["a.jpg", "b.jpg"]
    assert rle_encode(masks["a.jpg"]) == "3 2 9 1"
    assert not masks["b.jpg"].any()


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        (np.full((2, 6), 0.7, dtype=np.float32), r"float32 \(2, 6\): compare"),
        (np.full((2, 6), -3.0), r"float64 \(2, 6\): compare"),
        (np.full((2, 6), 255, dtype=np.uint8), r"uint8 \(2, 6\): compare"),
        (np.ones((2, 6), dtype=np.int64), r"int64 \(2, 6\): compare"),
        (np.ones((1, 2, 6), dtype=bool), r"bool \(1, 2, 6\): give one mask"),
        (np.ones(12, dtype=bool), r"bool \(12,\): give one mask"),
        (torch.ones(2, 6, dtype=torch.bool), r"a Tensor, bool \(2, 6\): convert"),
        ([[True, False]], "a list: convert"),
    ],
)
def test_what_is_no_mask_is_not_encoded(tmp_path, mask, what):
    with pytest.raises(ValueError, match=what) as caught:
        rle_encode(mask)
    assert "\n" not in str(caught.value)
    good = np.ones((2, 6), dtype=bool)
    with pytest.raises(ValueError, match=rf"^b\.jpg: .*{what}"):
        write_submission(tmp_path / "s.csv", [("a.jpg", good), ("b.jpg", mask)])
    assert list(tmp_path.iterdir()) == []


def test_a_submission_that_fails_half_way_leaves_no_file(tmp_path):
    def masks():
        yield "a.jpg", np.ones((2, 2), dtype=bool)
        raise CarvanaError("damaged photo")

    with pytest.raises(CarvanaError, match="damaged photo"):
        write_submission(tmp_path / "submission.csv", masks())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "columns"),
        ("", "columns"),
        ("img,rle_mask\na.jpg,1 1\na.jpg,1 1\n", "twice"),
        ("img,rle_mask\na\n", "columns"),
    ],
)
def test_files_that_are_no_submission_are_refused(tmp_path, text, message):
    path = tmp_path / "submission.csv"
    path.write_text(text)
    with pytest.raises(CarvanaError, match=message):
        read_submission(path, 2, 2)
    with pytest.raises(CarvanaError, match="cannot be read"):
        read_submission(tmp_path / "none.csv", 2, 2)


def test_a_mask_of_very_many_runs_is_read_again(tmp_path):
    mask = np.indices((200, 400)).sum(0) % 2 == 0
    text = rle_encode(mask)
    assert len(text) > 131_072
    write_submission(tmp_path / "ragged.csv", [("a_01.jpg", mask)])
    limit = csv.field_size_limit()
    assert (read_submission(tmp_path / "ragged.csv", 200, 400)["a_01.jpg"] == mask).all()
    assert csv.field_size_limit() == limit


def test_what_is_no_submission_is_refused_before_all_of_it_is_read(tmp_path):
    endless = itertools.chain([["img", "rle_mask"]], itertools.repeat([]))
    with pytest.raises(CarvanaError, match="is not a submission"):
        _read_rows(tmp_path / "s.csv", endless, 20, 30)
    growing = itertools.chain([["img", "rle_mask"]], ([f"{number}.jpg", ""] for number in itertools.count()))
    with pytest.raises(CarvanaError, match="more than 50 masks, too many for memory"):
        _read_rows(tmp_path / "s.csv", growing, 2000, 5000)
    blank = itertools.chain([["img", "rle_mask"]], itertools.repeat(["", " "]))
    with pytest.raises(CarvanaError, match="more than 1000 blank rows"):
        _read_rows(tmp_path / "s.csv", blank, 20, 30)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(CarvanaError, match="is not a submission"):
        read_submission(tmp_path / "empty.csv", 20, 30)


def test_runs_that_touch_are_read():
    assert rle_decode("1 1 2 1 3 1 4 1 5 1 6 1", 2, 3).all()


def test_more_numbers_than_pixels_are_not_taken_apart():
    text = "1 " * 10**6
    tracemalloc.start()
    with pytest.raises(CarvanaError, match="not a whole number"):
        rle_decode(text, 20, 30)
    assert tracemalloc.get_traced_memory()[1] < 4 * len(text)
    tracemalloc.stop()
