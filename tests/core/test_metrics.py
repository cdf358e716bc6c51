import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, BinaryJaccardIndex
from torchmetrics.segmentation import DiceScore

from carvana_lib.metrics import (
    _count_at_once,
    accuracy,
    bootstrap_interval,
    boundary,
    boundary_error,
    confusion,
    dice,
    erode,
    iou,
    precision,
    recall,
)

# Three photos of 16 pixels: true positives, false positives, false negatives, true negatives.
THREE_PHOTOS = torch.tensor([[4, 0, 0, 12], [1, 1, 3, 11], [2, 4, 0, 10]])


def random_masks(photos=7, height=12, width=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(photos, 1, height, width, generator=generator) < 0.3
    wrong = torch.rand(photos, 1, height, width, generator=generator) < 0.15
    return targets ^ wrong, targets


def masks_with_empty_ones():
    """Both empty, only the prediction empty, only the target empty, then random ones."""
    predictions, targets = random_masks()
    predictions[0] = targets[0] = False
    predictions[1] = False
    targets[2] = False
    return predictions, targets


def square(top, left, side=10, height=40, width=60):
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def outline_points(mask):
    height, width = mask.shape
    points = []
    for y, x in np.argwhere(mask):
        neighbours = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if any(0 <= v < height and 0 <= u < width and not mask[v, u] for v, u in neighbours):
            points.append((y, x))
    return np.array(points, dtype=float)


def slow_boundary_error(prediction, target):
    ours, true = outline_points(prediction), outline_points(target)
    distances = np.hypot(*(ours[:, None] - true[None]).transpose(2, 0, 1))
    return (distances.min(1).sum() + distances.min(0).sum()) / (len(ours) + len(true))


def alike_photos(cars=12, photos=16):
    """Scores that differ between cars and hardly between the photos of a car."""
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(0.95, 0.02, cars), photos) + rng.normal(0, 0.002, cars * photos)
    return values, np.repeat([f"car{i:02d}" for i in range(cars)], photos)


def test_confusion_is_a_plain_count_of_pixels():
    predictions, targets = masks_with_empty_ones()
    p, t = predictions.numpy()[:, 0], targets.numpy()[:, 0]
    expected = [
        [np.sum(p[i] & t[i]), np.sum(p[i] & ~t[i]), np.sum(~p[i] & t[i]), np.sum(~p[i] & ~t[i])] for i in range(len(p))
    ]
    counts = confusion(predictions, targets)
    assert counts.dtype == torch.int64
    assert counts.tolist() == expected


def test_confusion_takes_masks_with_and_without_a_channel():
    predictions, targets = random_masks()
    assert torch.equal(confusion(predictions, targets), confusion(predictions[:, 0], targets[:, 0]))


def test_four_by_four_example_worked_by_hand():
    prediction = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    target = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    counts = confusion(prediction[None], target[None])
    assert counts.tolist() == [[2, 2, 3, 9]]
    assert dice(counts).item() == pytest.approx(4 / 9)
    assert iou(counts).item() == pytest.approx(2 / 7)
    assert accuracy(counts).item() == pytest.approx(11 / 16)


@pytest.mark.parametrize(
    ("score", "each", "pooled", "by_two"),
    [
        (dice, [1, 1 / 3, 1 / 2], 7 / 11, (5 / 7 + 1 / 2) / 2),
        (iou, [1, 1 / 5, 1 / 3], 7 / 15, (5 / 9 + 1 / 3) / 2),
        (accuracy, [1, 3 / 4, 3 / 4], 5 / 6, (7 / 8 + 3 / 4) / 2),
        (precision, [1, 1 / 2, 1 / 3], 7 / 12, (5 / 6 + 1 / 3) / 2),
        (recall, [1, 1 / 4, 1], 7 / 10, (5 / 8 + 1) / 2),
    ],
)
def test_aggregates_worked_by_hand(score, each, pooled, by_two):
    assert score(THREE_PHOTOS, "none").tolist() == pytest.approx(each)
    assert score(THREE_PHOTOS, "image").item() == pytest.approx(sum(each) / 3)
    assert score(THREE_PHOTOS).item() == pytest.approx(sum(each) / 3)
    assert score(THREE_PHOTOS, "global").item() == pytest.approx(pooled)
    assert score(THREE_PHOTOS, "batch", batch_size=2).item() == pytest.approx(by_two)


@pytest.mark.parametrize("score", [dice, iou, accuracy, precision, recall])
def test_a_batch_is_32_photos_unless_told(score):
    counts = THREE_PHOTOS.repeat(11, 1)
    assert score(counts, "batch") == score(counts, "batch", batch_size=32)
    assert score(counts, "batch") != score(counts, "batch", batch_size=33)


def test_one_pixel_is_counted_as_one():
    assert precision(torch.tensor([[1, 0, 0, 15]])) == recall(torch.tensor([[1, 0, 0, 15]])) == 1


def test_the_three_dice_differ_from_one_another():
    values = [dice(THREE_PHOTOS, aggregate, batch_size=2).item() for aggregate in ("image", "global", "batch")]
    assert len({round(value, 3) for value in values}) == 3


def test_batch_dice_lies_between_its_two_limits():
    assert dice(THREE_PHOTOS, "batch", batch_size=1) == dice(THREE_PHOTOS, "image")
    assert dice(THREE_PHOTOS, "batch", batch_size=3) == dice(THREE_PHOTOS, "global")
    assert dice(THREE_PHOTOS, "batch", batch_size=32) == dice(THREE_PHOTOS, "global")


@pytest.mark.parametrize("aggregate", ["image", "global"])
def test_scores_do_not_depend_on_how_photos_were_grouped(aggregate):
    predictions, targets = masks_with_empty_ones()
    parts = [confusion(p, t) for p, t in zip(predictions.split(3), targets.split(3), strict=True)]
    whole = confusion(predictions, targets)
    for score in (dice, iou, accuracy):
        assert score(torch.cat(parts), aggregate) == score(whole, aggregate)


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_agree_with_torchmetrics(seed):
    predictions, targets = random_masks(seed=seed)
    counts = confusion(predictions, targets)
    flat_p, flat_t = predictions.flatten(1).long(), targets.flatten(1).long()
    for aggregate, level in (("image", "samplewise"), ("global", "global")):
        reference = DiceScore(
            2, include_background=False, average="macro", aggregation_level=level, input_format="index"
        )
        for p, t in zip(predictions[:, 0].long().split(3), targets[:, 0].long().split(3), strict=True):
            reference.update(p, t)
        assert dice(counts, aggregate).item() == pytest.approx(reference.compute().item(), abs=1e-6)
        averaging = level if level == "samplewise" else "global"
        right = BinaryAccuracy(multidim_average=averaging)(flat_p, flat_t).mean()
        assert accuracy(counts, aggregate).item() == pytest.approx(right.item(), abs=1e-6)
    jaccard = BinaryJaccardIndex()
    assert iou(counts, "global").item() == pytest.approx(jaccard(flat_p, flat_t).item(), abs=1e-6)
    each = [jaccard(p, t).item() for p, t in zip(flat_p, flat_t, strict=True)]
    assert iou(counts, "none").tolist() == pytest.approx(each, abs=1e-6)


def test_batch_dice_is_the_mean_of_torchmetrics_over_batches_the_last_included():
    predictions, targets = random_masks(photos=7)
    f1 = BinaryF1Score()
    batches = zip(predictions.split(3), targets.split(3), strict=True)
    expected = np.mean([f1(p.flatten().long(), t.flatten().long()).item() for p, t in batches])
    assert dice(confusion(predictions, targets), "batch", batch_size=3).item() == pytest.approx(expected, abs=1e-6)


def test_empty_masks_score_as_torchmetrics_does_with_zero_division_1():
    predictions, targets = masks_with_empty_ones()
    flat_p, flat_t = predictions.flatten(1).long(), targets.flatten(1).long()
    counts = confusion(predictions, targets)
    f1 = BinaryF1Score(multidim_average="samplewise", zero_division=1)(flat_p, flat_t)
    jaccard = BinaryJaccardIndex(zero_division=1)
    each = [jaccard(p, t).item() for p, t in zip(flat_p, flat_t, strict=True)]
    assert dice(counts, "none").tolist() == pytest.approx(f1.tolist(), abs=1e-6)
    assert iou(counts, "none").tolist() == pytest.approx(each, abs=1e-6)
    assert dice(counts, "none")[:3].tolist() == [1, 0, 0]
    assert iou(counts, "none")[:3].tolist() == [1, 0, 0]


def test_torchmetrics_dicescore_leaves_out_a_photo_where_both_are_empty_and_we_count_it_as_1():
    predictions, targets = masks_with_empty_ones()
    reference = DiceScore(
        2, include_background=False, average="macro", aggregation_level="samplewise", input_format="index"
    )
    theirs = reference(predictions[:, 0].long(), targets[:, 0].long()).item()
    counts = confusion(predictions, targets)
    assert dice(counts[1:]).item() == pytest.approx(theirs, abs=1e-6)
    assert dice(counts).item() == pytest.approx((1 + 6 * theirs) / 7, abs=1e-6)


@pytest.mark.parametrize("aggregate", ["image", "global", "batch"])
def test_nothing_predicted_where_nothing_is_scores_1(aggregate):
    counts = confusion(torch.zeros(2, 1, 4, 4, dtype=torch.bool), torch.zeros(2, 1, 4, 4, dtype=torch.bool))
    assert [score(counts, aggregate).item() for score in (dice, iou, accuracy)] == [1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_masks_that_are_not_bool_are_refused(dtype):
    predictions, targets = random_masks(photos=1)
    with pytest.raises(ValueError, match="bool"):
        confusion(predictions.to(dtype), targets)
    with pytest.raises(ValueError, match="bool"):
        confusion(predictions, targets.to(dtype))


def test_masks_of_different_shapes_are_refused():
    predictions, targets = random_masks(photos=2)
    with pytest.raises(ValueError, match=r"\(2, 1, 12, 20\).*\(2, 1, 12, 19\)"):
        confusion(predictions, targets[..., :-1])
    with pytest.raises(ValueError, match="differ in shape"):
        confusion(predictions, targets[:1])


@pytest.mark.parametrize("score", [dice, iou, accuracy])
def test_unknown_aggregates_and_no_photos_are_refused(score):
    with pytest.raises(ValueError, match="'mean' is not one of none, image, global, batch"):
        score(THREE_PHOTOS, "mean")
    with pytest.raises(ValueError, match="no photos"):
        score(THREE_PHOTOS[:0])


def test_boundary_is_the_ring_of_car_pixels_next_to_background():
    ring = square(5, 5, side=4, height=12, width=12) & ~square(6, 6, side=2, height=12, width=12)
    assert np.array_equal(boundary(square(5, 5, side=4, height=12, width=12)), ring)


def test_erosion_takes_the_pixels_around_a_hole_and_keeps_the_hole():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool)
    assert erode(mask).tolist() == [[True, False, True], [False, False, False], [True, False, True]]


def test_a_car_cut_by_the_edge_of_the_picture_has_no_outline_there():
    mask = np.zeros((6, 9), dtype=bool)
    mask[:, :4] = True
    assert np.argwhere(boundary(mask)).tolist() == [[y, 3] for y in range(6)]


@pytest.mark.parametrize("pixels", [1, 3, 7])
def test_boundary_error_of_a_straight_outline_moved_is_the_move(pixels):
    target = np.zeros((20, 40), dtype=bool)
    target[:, :12] = True
    prediction = np.zeros_like(target)
    prediction[:, : 12 + pixels] = True
    assert boundary_error(prediction, target) == pytest.approx(pixels)
    assert boundary_error(prediction.T, target.T) == pytest.approx(pixels)


@pytest.mark.parametrize("pixels", [1, 2, 5, 15])
def test_boundary_error_of_a_square_moved_agrees_with_all_distances(pixels):
    target, prediction = square(8, 8), square(8, 8 + pixels)
    error = boundary_error(prediction, target)
    assert error == pytest.approx(slow_boundary_error(prediction, target))
    assert 0 < error <= pixels


def test_boundary_error_counts_both_ways_and_is_symmetric():
    target = square(8, 8)
    prediction = target | square(28, 48, side=4)
    error = boundary_error(prediction, target)
    assert error == pytest.approx(slow_boundary_error(prediction, target))
    assert error == pytest.approx(boundary_error(target, prediction))
    assert error > 3


def test_boundary_error_of_identical_masks_is_0():
    assert boundary_error(square(8, 8), square(8, 8)) == 0


def test_boundary_error_with_empty_masks():
    empty = np.zeros((30, 40), dtype=bool)
    filled = square(5, 5, height=30, width=40)
    assert boundary_error(empty, empty) == 0
    assert boundary_error(filled, empty) == pytest.approx(50)
    assert boundary_error(empty, filled) == pytest.approx(50)


def test_interval_over_cars_is_wider_than_over_photos_that_are_alike():
    values, cars = alike_photos()
    low, high = bootstrap_interval(values, cars, draws=2000)
    one_car_each = [f"{i:04d}" for i in range(len(values))]
    narrow_low, narrow_high = bootstrap_interval(values, one_car_each, draws=2000)
    assert high - low > 2.5 * (narrow_high - narrow_low)
    assert low < narrow_low < values.mean() < narrow_high < high


def test_interval_of_two_cars_has_only_three_possible_means():
    values, cars = [0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"]
    assert bootstrap_interval(values, cars, level=0.95, draws=2000) == (0, 1)
    assert bootstrap_interval(values, cars, level=0.4, draws=2000) == (0.5, 0.5)


def test_a_car_drawn_brings_all_its_photos():
    values, cars = [1.0, 0.0, 1.0, 0.0, 1.0], ["a", "b", "a", "b", "a"]
    low, high = bootstrap_interval(values, cars, level=0.4, draws=2000)
    assert (low, high) == (pytest.approx(0.6), pytest.approx(0.6))


def test_interval_is_the_same_for_the_same_seed_and_any_order_of_photos():
    values, cars = alike_photos()
    assert bootstrap_interval(values, cars, draws=500) == bootstrap_interval(values, cars, draws=500, seed=0)
    first = bootstrap_interval(values, cars, draws=500, seed=4)
    assert bootstrap_interval(values, cars, draws=500, seed=4) == first
    assert bootstrap_interval(values, cars, draws=500, seed=5) != first
    order = np.random.default_rng(0).permutation(len(values))
    assert bootstrap_interval(values[order], cars[order], draws=500, seed=4) == pytest.approx(first)


def test_a_lower_level_gives_a_narrower_interval():
    values, cars = alike_photos()
    low, high = bootstrap_interval(values, cars, draws=2000)
    inner_low, inner_high = bootstrap_interval(values, cars, level=0.5, draws=2000)
    assert low < inner_low < inner_high < high


def test_masks_of_two_sizes_have_no_distance():
    with pytest.raises(ValueError, match="masks differ in shape"):
        boundary_error(np.ones((10, 10), bool), np.ones((40, 60), bool))


def test_of_no_photos_there_are_counts_and_no_interval():
    assert confusion(torch.zeros(0, 4, 4, dtype=torch.bool), torch.zeros(0, 4, 4, dtype=torch.bool)).shape == (0, 4)
    with pytest.raises(ValueError, match="no scores to draw from"):
        bootstrap_interval([], [])


SQUARE = torch.zeros(8, 8, dtype=torch.bool)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (SQUARE, r"not \(8, 8\): of a single mask, give mask\[None\]"),
        (SQUARE.expand(2, 3, 8, 8), r"not \(2, 3, 8, 8\)"),
        (SQUARE[0], r"not \(8,\)"),
        (SQUARE[None].numpy(), r"not bool \(1, 8, 8\): .*torch.from_numpy\(mask\)\[None\]"),
        ([[True]], "not a list"),
        (SQUARE[None].float(), r"not a Tensor, float32 \(1, 8, 8\): threshold first"),
    ],
)
def test_rows_of_a_single_mask_are_not_taken_for_photos(wrong, message):
    for masks in ((wrong, wrong), (SQUARE[None], wrong)):
        with pytest.raises(ValueError, match=message) as error:
            confusion(*masks)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("score", [dice, iou, accuracy, precision, recall])
def test_scores_are_of_counts_and_nothing_else(score):
    for wrong in (THREE_PHOTOS[0], THREE_PHOTOS.float(), THREE_PHOTOS.numpy(), SQUARE[None], THREE_PHOTOS[:, :3]):
        with pytest.raises(ValueError, match=r"scores need the counts, int64 \(N, 4\)") as error:
            score(wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="counts"):
        score(SQUARE[None], SQUARE[None])
    with pytest.raises(ValueError, match="batch_size=0"):
        score(THREE_PHOTOS, "batch", 0)


@pytest.mark.parametrize("measure", [erode, boundary, lambda mask: boundary_error(mask, square(2, 2))])
def test_outlines_are_of_bool_masks(measure):
    mask = square(5, 5)
    for wrong in (mask * np.uint8(255), mask * 0.7, torch.from_numpy(mask), mask[None], mask[0], mask.tolist()):
        with pytest.raises(
            ValueError, match=r"a mask must be a NumPy array, bool \(height, width\), not .*: "
        ) as error:
            measure(wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="a mask must be"):
        boundary_error(mask, mask * np.uint8(1))


def test_an_interval_needs_two_cars_and_a_score_of_each_photo():
    with pytest.raises(ValueError, match="a single car says nothing about others"):
        bootstrap_interval([0.9, 0.95, 0.99], ["a", "a", "a"])
    wrong = [([0.9, 0.8], ["a"]), ([0.9, 0.8], "ab"), ([[0.9, 0.8]], [["a", "b"]]), ([0.9, float("nan")], ["a", "b"])]
    for values, cars in wrong:
        with pytest.raises(ValueError, match="a finite score and a car for each photo"):
            bootstrap_interval(values, cars)
    for settings in ({"level": 95}, {"level": 0}, {"draws": 0}):
        with pytest.raises(ValueError, match="level="):
            bootstrap_interval([0.9, 0.8], ["a", "b"], **settings)


def test_a_gpu_counts_a_batch_as_a_cpu_counts_each_photo():
    predictions, targets = torch.rand(2, 5, 1, 31, 47, generator=torch.Generator().manual_seed(0)) > 0.4
    together = _count_at_once(predictions, targets)
    assert together.dtype == torch.int64
    assert torch.equal(together, confusion(predictions, targets))
