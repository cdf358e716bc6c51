import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt

from carvana_lib.base.errors import CarvanaError
from carvana_lib.losses import (
    LOSSES,
    bce_dice_loss,
    bce_loss,
    boundary_loss,
    boundary_weights,
    dice_loss,
    squared_distance,
)


def random_batch(photos=2, height=9, width=14, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(photos, 1, height, width, generator=generator, dtype=dtype)
    targets = torch.rand(photos, 1, height, width, generator=generator, dtype=dtype)
    return logits, targets


def disc(height=24, width=36, radius=7):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (y - height // 2) ** 2 + (x - width // 3) ** 2 <= radius**2
    return inside[None, None].float()


def bce_by_hand(logits, targets):
    p, t = 1 / (1 + np.exp(-logits.double().numpy())), targets.double().numpy()
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


def gradient(loss, logits, targets):
    logits = logits.clone().requires_grad_()
    value = loss(logits, targets)
    value.backward()
    return value.item(), logits.grad


def weights_by_hand(target, w0=10.0, sigma=5.0):
    car = target.numpy()[0] > 0.5
    share = car.mean()
    distance = np.where(car, distance_transform_edt(car), distance_transform_edt(~car))
    return np.where(car, 0.5 / share, 0.5 / (1 - share)) + w0 * np.exp(-(distance**2) / (2 * sigma**2)), distance


def test_bce_equals_the_formula():
    logits, targets = random_batch()
    assert bce_loss(logits, targets).item() == pytest.approx(bce_by_hand(logits, targets).mean(), rel=1e-5)


def test_dice_loss_equals_the_formula():
    logits, targets = random_batch(photos=3)
    p, t = torch.sigmoid(logits).double().numpy(), targets.double().numpy()
    each = [1 - (2 * (a * b).sum() + 1) / ((a**2).sum() + (b**2).sum() + 1) for a, b in zip(p, t, strict=True)]
    assert dice_loss(logits, targets).item() == pytest.approx(np.mean(each), rel=1e-5)


def test_bce_dice_is_their_sum():
    logits, targets = random_batch()
    assert bce_dice_loss(logits, targets).item() == pytest.approx(
        bce_loss(logits, targets).item() + dice_loss(logits, targets).item()
    )


def test_dice_loss_is_0_for_a_perfect_hard_prediction_and_near_1_for_the_opposite():
    target = disc()
    assert dice_loss(60 * (2 * target - 1), target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(60 * (1 - 2 * target), target).item() > 0.99


@pytest.mark.parametrize("loss", [bce_loss, dice_loss, bce_dice_loss, boundary_loss])
def test_the_best_prediction_for_a_soft_mask_is_that_mask(loss):
    _, targets = random_batch(dtype=torch.float64)
    targets = 0.05 + 0.9 * targets
    best, slope = gradient(loss, torch.logit(targets), targets)
    assert slope.abs().max() < 1e-12
    for change in (-0.5, 0.5):
        assert loss(torch.logit(targets) * (1 + change), targets).item() > best


def test_dice_loss_of_empty_masks_is_finite_and_0_where_nothing_is_predicted():
    empty = torch.zeros(2, 1, 8, 12)
    value, slope = gradient(dice_loss, torch.full_like(empty, -200.0), empty)
    assert value == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(slope).all()
    value, slope = gradient(dice_loss, torch.zeros_like(empty), empty)
    assert 0.5 < value < 1
    assert torch.isfinite(slope).all()
    assert (slope > 0).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_empty_and_full_masks_give_finite_losses_and_gradients(loss, value, logit):
    targets = torch.full((2, 1, 8, 12), value)
    loss_value, slope = gradient(loss, torch.full_like(targets, logit), targets)
    assert np.isfinite(loss_value)
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_few_steps_lower_every_loss(loss):
    target = disc()
    logits = torch.zeros_like(target, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    first = loss(logits, target).item()
    for _ in range(15):
        optimizer.zero_grad()
        loss(logits, target).backward()
        optimizer.step()
    assert loss(logits, target).item() < 0.3 * first
    assert torch.equal(logits > 0, target > 0.5)


@pytest.mark.parametrize(("height", "width"), [(13, 29), (29, 13), (3, 40)])
@pytest.mark.parametrize("reach", [3, 6])
def test_squared_distance_is_exact_within_reach(height, width, reach):
    generator = torch.Generator().manual_seed(height)
    inside = torch.rand(3, 2, height, width, generator=generator) < 0.01
    inside[:, :, height // 2, width // 4] = True
    ours = squared_distance(inside, reach).numpy()
    expected = np.stack([[distance_transform_edt(~plane) ** 2 for plane in photo] for photo in inside.numpy()])
    near = expected <= reach**2
    assert near.sum() > 0
    np.testing.assert_allclose(ours[near], expected[near], atol=1e-4)
    assert (ours[~near] > reach**2).all()


def test_squared_distance_tells_the_two_axes_apart():
    inside = torch.zeros(1, 1, 20, 30, dtype=torch.bool)
    inside[0, 0, 10, 15] = True
    y, x = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    box = ((y - 10).abs() <= 4) & ((x - 15).abs() <= 4)
    squared = squared_distance(inside, reach=4)[0, 0]
    assert torch.equal(squared[box], ((y - 10) ** 2 + (x - 15) ** 2).float()[box])
    assert (squared[~box] > 2 * 4**2).all()


def test_squared_distance_to_nothing_is_far():
    assert (squared_distance(torch.zeros(1, 1, 6, 9, dtype=torch.bool), reach=3) > 2 * 3**2).all()


def test_boundary_weights_follow_the_formula():
    target = disc(height=40, width=56, radius=9)[0]
    expected, distance = weights_by_hand(target)
    weights = boundary_weights(target[None])[0, 0].numpy()
    near = distance <= 15
    assert (~near).any()
    np.testing.assert_allclose(weights[near], expected[near], rtol=1e-4)
    np.testing.assert_allclose(weights, expected, atol=0.012 * 10)


def test_boundary_weights_are_highest_at_the_outline():
    target = torch.zeros(1, 1, 10, 60)
    target[..., :30] = 1
    weights = boundary_weights(target)[0, 0]
    assert torch.allclose(weights, weights[:1].expand_as(weights))
    row = weights[0]
    assert set(row.topk(2).indices.tolist()) == {29, 30}
    assert (row[15:29] < row[16:30]).all()
    assert (row[30:44] > row[31:45]).all()
    assert row[29] > 5 * row[0]


def test_both_classes_count_alike_away_from_the_outline():
    target = torch.zeros(1, 1, 40, 100)
    target[..., :20] = 1
    weights = boundary_weights(target, w0=0.0)
    assert weights[target > 0.5].sum().item() == pytest.approx(weights[target < 0.5].sum().item(), rel=1e-4)
    assert weights.mean().item() == pytest.approx(1, rel=1e-4)


def test_every_photo_has_its_own_boundary_weights():
    first, second = disc(radius=4), disc(radius=9)
    both = boundary_weights(torch.cat([first, second]))
    assert torch.allclose(both, torch.cat([boundary_weights(first), boundary_weights(second)]))


@pytest.mark.parametrize("size", [(160, 224), (161, 223)])
def test_boundary_weights_of_blocks_are_close_to_exact_ones(size):
    target = disc(*size, radius=50)
    exact, coarse = boundary_weights(target), boundary_weights(target, block=2)
    assert coarse.shape == exact.shape
    assert (coarse - exact).abs().mean() < 0.1 * exact.mean()
    assert (coarse - exact).abs().max() < 0.3 * exact.max()


def test_boundary_loss_is_the_weighted_mean_of_the_cross_entropy():
    target = disc()
    logits, _ = random_batch(photos=1, height=24, width=36)
    weights = boundary_weights(target).double().numpy()
    expected = (weights * bce_by_hand(logits, target)).sum() / weights.sum()
    assert boundary_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_an_error_at_the_outline_costs_more_than_one_far_from_it():
    target = disc(height=40, width=56, radius=9)
    perfect = 6 * (2 * target - 1)
    at_outline, far_away = perfect.clone(), perfect.clone()
    at_outline[0, 0, 20, 18 + 10] = 6
    far_away[0, 0, 2, 54] = 6
    assert boundary_loss(at_outline, target) > 3 * boundary_loss(far_away, target)
    assert bce_loss(at_outline, target) == pytest.approx(bce_loss(far_away, target).item())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("car", [1.5, 255])
def test_masks_that_reach_above_1_are_refused(name, car):
    targets = torch.zeros(1, 1, 8, 8)
    targets[..., 4:] = car
    with pytest.raises(CarvanaError, match=f"these reach {car}: divide masks of 0 to 255 by 255"):
        LOSSES[name](torch.zeros(1, 1, 8, 8), targets)


def test_weights_of_a_mask_that_is_nearly_empty_stay_bounded():
    targets = torch.zeros(1, 1, 40, 40)
    targets[..., 0, 0] = 1  # a share of 1 / 1600, taken for 1 / 100
    weights = boundary_weights(targets, w0=0)
    assert weights.max() == pytest.approx(50)
    assert weights.min() == pytest.approx(0.5 / 0.99)


def test_the_loss_of_a_photo_640_pixels_high_takes_weights_of_blocks_of_2():
    torch.manual_seed(0)
    logits, targets = torch.randn(1, 1, 640, 32), torch.zeros(1, 1, 640, 32)
    targets[..., 200:400, 8:20] = 1
    weights = boundary_weights(targets, block=2)
    expected = F.binary_cross_entropy_with_logits(logits, targets, weights) / weights.mean()
    assert boundary_loss(logits, targets) == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("height", [320, 640, 1280, 2560, 5120])
def test_the_outline_counts_most_on_photos_of_any_size(height):
    targets = torch.zeros(1, 1, height, 64)
    targets[..., height // 2 :, :] = 1
    loss = []
    # Four wrong rows, right beside the outline and far from it.
    for start in (height // 2 - 4, height // 4):
        logits = 10 * (2 * targets - 1)
        logits[..., start : start + 4, :] *= -1
        loss.append(boundary_loss(logits, targets).item())
    assert loss[0] > 4 * loss[1]
