import math

import pytest
import torch

from carvana_lib.transforms import BACKDROP_DRAWS, DRAWS, Augment, Draws, backdrops, change_colour, normalise, warp

ALL = Augment(flip=0.5, rotate=20, scale=0.2, shift=0.1, colour=0.3)
MIDDLE = 0.5  # a draw that changes nothing, except for the flip
NO_FLIP = 0.99


def random_batch(photos=4, height=16, width=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(photos, 3, height, width, generator=generator)
    masks = (torch.rand(photos, 1, height, width, generator=generator) > 0.5).float()
    return images, masks


def neutral_draws(photos=1, **values):
    """Draws that change nothing, apart from the named columns, which all get their value."""
    draws = torch.full((photos, DRAWS), MIDDLE)
    for name, value in {"flip": NO_FLIP, **values}.items():
        draws[:, Draws._fields.index(name)] = value
    return draws


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blob(height=160, width=240, x=165.0, y=60.0, radius=25.0):
    """A photo and mask of a disc with a soft rim, centred on (x, y) in pixels."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    disc = (radius + 0.5 - torch.hypot(rows - y, columns - x)).clamp(0, 1)[None, None]
    return disc.expand(1, 3, -1, -1).clone(), disc


def measure(mask):
    """Area, centre (x, y) and the ratio of the longest to the shortest axis of a soft mask (1, 1, H, W)."""
    weights = mask[0, 0].double()
    height, width = weights.shape
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    area = weights.sum()
    points = torch.stack([columns.double().flatten(), rows.double().flatten()])
    centre = (points * weights.flatten()).sum(1) / area
    away = points - centre[:, None]
    spread = torch.linalg.eigvalsh((away * weights.flatten()) @ away.T / area)
    return area.item(), centre.tolist(), math.sqrt(spread[1] / spread[0])


def test_normalise_maps_bytes_to_minus_1_to_1():
    result = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert result.dtype == torch.float32
    assert result.tolist() == pytest.approx([-1, -0.6, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_normalise_maps_floats_to_minus_1_to_1_in_float32(dtype):
    result = normalise(torch.tensor([0, 0.25, 1], dtype=dtype))
    assert result.dtype == torch.float32
    assert result.tolist() == pytest.approx([-1, -0.5, 1])


def test_normalise_gives_the_same_for_bytes_and_for_floats_of_any_shape():
    images = torch.randint(256, (2, 3, 5, 7), dtype=torch.uint8, generator=generator())
    assert torch.equal(normalise(images), normalise(images.float() / 255))
    assert torch.equal(normalise(images[0]), normalise(images)[0])


def test_flip_moves_photo_and_mask_of_exactly_the_drawn_ones():
    images, masks = random_batch(photos=5)
    draws = neutral_draws(5, flip=torch.tensor([0.0, 0.29, 0.3, 0.31, 0.99]))
    new_images, new_masks = Augment(flip=0.3).apply(images, masks, draws)
    flipped = torch.tensor([True, True, False, False, False])
    assert torch.equal(new_images[flipped], images[flipped].flip(-1))
    assert torch.equal(new_masks[flipped], masks[flipped].flip(-1))
    assert torch.equal(new_images[~flipped], images[~flipped])
    assert torch.equal(new_masks[~flipped], masks[~flipped])


@pytest.mark.parametrize(("flip", "expected"), [(0.0, 0), (0.25, 0.25), (1.0, 1)])
def test_flip_is_a_probability(flip, expected):
    images = torch.zeros(2000, 3, 1, 2)
    images[..., 0] = 1
    flipped, _ = Augment(flip=flip)(images, images[:, :1], generator())
    assert flipped[:, 0, 0, 1].mean().item() == pytest.approx(expected, abs=0.03)


def test_flip_within_a_warp_is_the_same_flip():
    images, masks = random_batch(photos=2)
    draws = neutral_draws(2, flip=torch.tensor([0.0, NO_FLIP]))
    new_images, new_masks = Augment(flip=0.5, rotate=10, scale=0.1, shift=0.1).apply(images, masks, draws)
    torch.testing.assert_close(new_images[0], images[0].flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(new_masks[0], masks[0].flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(new_images[1], images[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(new_masks[1], masks[1], atol=1e-4, rtol=0)


def test_warp_with_the_identity_changes_nothing():
    images, _ = random_batch(height=160, width=240, photos=2)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    torch.testing.assert_close(warp(images, identity), images, atol=1e-4, rtol=0)


def test_an_augmentation_switched_off_changes_nothing():
    images, masks = random_batch()
    new_images, new_masks = Augment(flip=0)(images, masks, generator())
    assert torch.equal(new_images, images)
    assert torch.equal(new_masks, masks)


def test_every_photo_of_a_batch_draws_its_own_numbers():
    images, masks = random_batch(photos=1)
    new_images, new_masks = ALL(images.expand(6, -1, -1, -1), masks.expand(6, -1, -1, -1), generator())
    for i in range(6):
        for j in range(i):
            assert not torch.allclose(new_images[i], new_images[j], atol=0.01)
            assert not torch.allclose(new_masks[i], new_masks[j], atol=0.01)


def test_the_same_seed_gives_the_same_result_and_another_seed_another():
    images, masks = random_batch()
    first, second, other = (ALL(images, masks, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.allclose(first[0], other[0])


def test_the_same_draws_give_the_same_result_alone_and_in_a_batch():
    images, masks = random_batch()
    draws = torch.rand(4, DRAWS, generator=generator())
    together = ALL.apply(images, masks, draws)
    for i in range(4):
        alone = ALL.apply(images[i : i + 1], masks[i : i + 1], draws[i : i + 1])
        torch.testing.assert_close(together[0][i], alone[0][0])
        torch.testing.assert_close(together[1][i], alone[1][0])


def test_inputs_and_the_global_random_state_stay_as_they_were():
    images, masks = random_batch()
    before = images.clone(), masks.clone(), torch.get_rng_state()
    ALL(images, masks, generator())
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_the_mask_stays_on_the_car(flip):
    images, masks = random_batch(photos=8, height=40, width=60)
    masks = torch.nn.functional.avg_pool2d(masks, 5, 1, 2)
    images[:, :1] = masks
    changed = Augment(flip=flip, rotate=25, scale=0.3, shift=0.2)
    new_images, new_masks = changed(images, masks, generator())
    assert torch.equal(new_images[:, :1], new_masks)
    assert not torch.allclose(new_masks, masks, atol=0.1)
    assert new_masks.min() >= 0
    assert new_masks.max() <= 1


@pytest.mark.parametrize("flip_draw", [0.0, NO_FLIP])
@pytest.mark.parametrize(("height", "width"), [(160, 240), (240, 160)])
@pytest.mark.parametrize("turn", [0.0, 0.99])
def test_rotation_keeps_circles_round_and_the_angle_true_in_a_picture_that_is_not_square(
    flip_draw, height, width, turn
):
    x, y = width / 2 + 40, height / 2 - 15
    images, masks = blob(height, width, x, y)
    draws = neutral_draws(flip=flip_draw, turn=turn)
    _, turned = Augment(flip=0.5, rotate=30).apply(images, masks, draws)
    area, centre, roundness = measure(turned)
    assert roundness == pytest.approx(1, abs=0.01)
    assert area == pytest.approx(measure(masks)[0], rel=0.01)
    right, down = centre[0] - width / 2, centre[1] - height / 2
    assert math.hypot(right, down) == pytest.approx(math.hypot(40, 15), abs=0.1)
    start = math.atan2(-15, 40 if flip_draw else -40)
    angle = (math.atan2(down, right) - start + math.pi) % (2 * math.pi) - math.pi
    assert abs(math.degrees(angle)) == pytest.approx(30 * abs(2 * turn - 1), abs=0.2)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.8), (0.75, 1.1)])
def test_scale_is_a_factor_on_length_about_the_middle(draw, factor):
    images, masks = blob()
    draws = neutral_draws(size=draw)
    area, centre, roundness = measure(Augment(scale=0.2).apply(images, masks, draws)[1])
    assert area == pytest.approx(factor**2 * measure(masks)[0], rel=0.01)
    assert centre == pytest.approx([120 + factor * 45, 80 - factor * 20], abs=0.1)
    assert roundness == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("name", "axis", "side"), [("right", 0, 240), ("down", 1, 160)])
def test_the_largest_shift_is_a_share_of_the_side(name, axis, side):
    images, masks = blob(x=120, y=80)
    draws = neutral_draws(**{name: 0.0})
    _, centre, _ = measure(Augment(shift=0.1).apply(images, masks, draws)[1])
    moves = [centre[0] - 120, centre[1] - 80]
    assert abs(moves[axis]) == pytest.approx(0.1 * side, abs=0.1)
    assert moves[1 - axis] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("draw", "same"), [(0.49, False), (0.51, True)])
def test_photos_that_are_not_warped_keep_every_pixel(draw, same):
    images, masks = random_batch(photos=1)
    draws = neutral_draws(turn=0.9, size=0.9, right=0.9, down=0.9, warp=draw)
    new_images, new_masks = Augment(rotate=10, scale=0.1, shift=0.1, warped=0.5).apply(images, masks, draws)
    assert torch.allclose(new_images, images, atol=1e-5) == same
    assert torch.allclose(new_masks, masks, atol=1e-5) == same


def test_warped_ones_are_not_above_1():
    # At this size some sums of the interpolation's weights round to just above 1.
    images, masks = torch.ones(4, 3, 640, 959), torch.ones(4, 1, 640, 959)
    draws = torch.rand((4, DRAWS), generator=torch.Generator().manual_seed(0))
    new_images, new_masks = Augment(rotate=2, scale=0.1, shift=0.03).apply(images, masks, draws)
    assert new_images.max() == 1
    assert new_masks.max() == 1


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ({"flip": 0.5}, {"flip"}),
        ({"flip": 0, "rotate": 20}, {"turn"}),
        ({"flip": 0, "scale": 0.2}, {"size"}),
        ({"flip": 0, "shift": 0.2}, {"right", "down"}),
        ({"flip": 0, "colour": 0.3}, {"brightness", "contrast", "saturation"}),
    ],
)
def test_every_column_of_the_draws_has_one_meaning(setting, names):
    images, masks = random_batch(photos=1)
    augment = Augment(**setting)
    before = augment.apply(images, masks, neutral_draws())
    for name in Draws._fields:
        after = augment.apply(images, masks, neutral_draws(**{name: 0.1}))
        assert torch.equal(before[0], after[0]) == (name not in names)


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999])
def test_colour_leaves_the_mask_alone_and_stays_in_range(draw):
    images, masks = random_batch()
    draws = neutral_draws(4, brightness=draw, contrast=draw, saturation=draw)
    new_images, new_masks = Augment(flip=0, colour=0.9).apply(images, masks, draws)
    assert torch.equal(new_masks, masks)
    assert not torch.allclose(new_images, images, atol=0.05)
    assert new_images.min() >= 0
    assert new_images.max() <= 1


def test_colour_factors_of_1_change_nothing():
    images, _ = random_batch()
    one = torch.ones(4)
    torch.testing.assert_close(change_colour(images, one, one, one), images)


def test_brightness_multiplies():
    images = torch.full((2, 3, 4, 4), 0.4)
    result = change_colour(images, torch.tensor([0.5, 1.5]), torch.ones(2), torch.ones(2))
    torch.testing.assert_close(result, torch.stack([0.5 * images[0], 1.5 * images[1]]))


def test_contrast_stretches_about_the_mean_grey():
    images = torch.tensor([0.4, 0.6]).expand(1, 3, 2, 2)
    result = change_colour(images, torch.ones(1), torch.full((1,), 1.5), torch.ones(1))
    torch.testing.assert_close(result, torch.tensor([0.35, 0.65]).expand(1, 3, 2, 2))


def test_saturation_0_leaves_grey_and_a_half_leaves_half_the_colour():
    images = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    grey = 0.299 * 0.8 + 0.587 * 0.4 + 0.114 * 0.2
    ones = torch.ones(1)
    torch.testing.assert_close(change_colour(images, ones, ones, 0 * ones), torch.full_like(images, grey))
    torch.testing.assert_close(change_colour(images, ones, ones, 0.5 * ones), (images + grey) / 2)


def test_the_draws_set_brightness_then_contrast_then_saturation():
    images, masks = random_batch(photos=1)
    draws = neutral_draws(brightness=0.9, contrast=0.2, saturation=0.7)
    expected = change_colour(images, torch.tensor([1.16]), torch.tensor([0.88]), torch.tensor([1.08]))
    torch.testing.assert_close(Augment(flip=0, colour=0.2).apply(images, masks, draws)[0], expected)


def test_backdrops_change_the_background_of_a_share_of_the_photos_and_nothing_else():
    images, masks = random_batch(photos=64)
    masks[:, :, :8] = 0.25  # a soft rim
    pasted, same_masks = Augment(flip=0, backdrop=0.5)(images, masks, generator())
    assert torch.equal(same_masks, masks)
    assert pasted.shape == images.shape
    assert pasted.min() >= 0
    assert pasted.max() <= 1
    changed = (pasted != images).flatten(1).any(1)
    assert 16 < changed.sum() < 48
    car = (masks == 1).expand_as(images)
    assert torch.equal(pasted[car], images[car])
    # Where a quarter of the pixel is car, a quarter of its colour stays.
    rim = (pasted - 0.25 * images)[changed][:, :, :8]
    assert rim.min() >= -1e-6
    assert rim.max() <= 0.75 + 1e-6


def test_without_backdrops_the_random_numbers_are_as_they_were():
    plain, with_backdrops = (Augment(backdrop=share).draw(5, generator(3)) for share in (0.0, 0.5))
    assert plain.shape == (5, DRAWS)
    assert torch.equal(plain, torch.rand((5, DRAWS), generator=generator(3)))
    assert with_backdrops.shape == (5, DRAWS + BACKDROP_DRAWS)
    assert torch.equal(with_backdrops[:, :DRAWS], plain)


def test_the_same_random_numbers_draw_the_same_backdrops():
    images, masks = random_batch()
    augment = Augment(backdrop=1.0)
    first, second, other = (augment(images, masks, generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def backdrop_of(kind, **values):
    """One drawn background of 40x60 pixels, from a black to a white colour, beside a photo whose left half is car."""
    names = ["kind", "turn", "size", "right", "down", "sharp"]
    draws = torch.zeros(2, BACKDROP_DRAWS - 1)
    draws[:, :6] = torch.tensor([{"kind": kind, **values}.get(name, 0.5) for name in names])
    draws[:, 9:] = 1.0
    images, masks = torch.full((2, 3, 40, 60), 0.6), torch.zeros(2, 1, 40, 60)
    images[:, :, :, :30], masks[:, :, :, :30] = 0.1, 1.0
    return backdrops(images, masks, draws)[0]


def test_a_gradient_runs_in_its_direction():
    picture = backdrop_of(0.1, turn=0.0)
    assert torch.allclose(picture[:, :1], picture[:, -1:], atol=1e-6), "it runs along the rows"
    assert (picture[0, 0].diff() >= 0).all()
    assert picture[0, 0, -1] - picture[0, 0, 0] > 0.5


def test_noise_has_large_and_small_parts_and_stripes_repeat():
    noise, stripes = backdrop_of(0.4)[0], backdrop_of(0.6, turn=0.0)[0]
    assert noise.std() > 0.05
    assert (noise[:, 1:] - noise[:, :-1]).abs().mean() < noise.std(), "neighbours are alike"
    assert torch.allclose(stripes[0], stripes[-1], atol=1e-6)
    turns = (stripes[0].diff().sign().diff() != 0).sum()
    assert turns >= 4


def test_a_wall_is_made_from_the_other_photos_wall_alone():
    wall = backdrop_of(0.9)
    # The colour of its car, 0.1, is nowhere in it; 0.3 is the factor of the first colour, black.
    assert torch.allclose(wall, torch.full((3, 40, 60), 0.6 * 0.3), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int16, torch.bool])
def test_other_whole_numbers_are_not_taken_for_shares(dtype):
    with pytest.raises(ValueError, match=f"not {dtype}: use"):
        normalise(torch.ones(2, 2, dtype=dtype))
