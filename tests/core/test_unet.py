import math
import shutil

import pytest
import torch
from torch import nn

from carvana_lib.unet import UNet, count_parameters

# 52 and 60 stay even at every level of a valid net of depth 2.
VALID_SIZE = (52, 60)


def small_net(seed=0, **changes):
    torch.manual_seed(seed)
    settings = {"base_channels": 4, "depth": 2} | changes
    return UNet(**settings).eval()


def pictures(height=32, width=48, photos=1, channels=3, seed=0):
    return torch.randn(photos, channels, height, width, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def run(net, images):
    return net(images)


def make_mirror_symmetric(net):
    """Average every kernel with its mirror images, so that mirrored pictures give mirrored masks."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            weight = module.weight.data
            module.weight.data = (weight + weight.flip(-1) + weight.flip(-2) + weight.flip(-1, -2)) / 4
    return net


def with_zeros_in(net, level, argument):
    """Output of `net` with one input of an Up level set to zero: 0 the deep path, 1 the skip connection."""
    images = pictures()

    def blank(_, inputs):
        return tuple(torch.zeros_like(x) if i == argument else x for i, x in enumerate(inputs))

    handle = net.up[level].register_forward_pre_hook(blank)
    output = run(net, images)
    handle.remove()
    return output


def test_the_net_of_the_paper_makes_388_pixels_of_572():
    with torch.device("meta"):
        net = UNet(1, 2, padding="valid", norm=None)
        assert net(torch.empty(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def test_a_small_net_of_the_papers_shape_computes_388_pixels_of_572():
    net = small_net(in_channels=1, out_channels=2, base_channels=2, depth=4, padding="valid", norm=None)
    logits = run(net, pictures(572, 572, channels=1))
    assert logits.shape == (1, 2, 388, 388)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("base", "low", "high"), [(64, 30.9e6, 31.1e6), (16, 1.935e6, 1.945e6)])
def test_parameter_counts_are_those_promised(base, low, high):
    with torch.device("meta"):
        count = count_parameters(UNet(base_channels=base))
    assert low < count < high


def test_frozen_weights_are_not_counted():
    net = small_net()
    head = sum(p.numel() for p in net.head.parameters())
    before = count_parameters(net)
    net.head.requires_grad_(False)
    assert count_parameters(net) == before - head


def test_channels_double_on_every_level():
    with torch.device("meta"):
        net = UNet(base_channels=6, depth=3)
    assert [net.stem[0].out_channels] + [level[0].out_channels for level in net.down] == [6, 12, 24, 48]


@pytest.mark.parametrize(
    ("width", "height", "base"), [(959, 640, 2), (1918, 1280, 1), (33, 47, 2), (1, 1, 2), (16, 16, 2), (17, 240, 2)]
)
def test_every_size_comes_back_at_its_own_size(width, height, base):
    logits = run(small_net(base_channels=base, depth=4), pictures(height, width))
    assert logits.shape == (1, 1, height, width)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("up", ["transpose", "bilinear"])
@pytest.mark.parametrize("norm", ["batch", None])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_every_variant_works_and_all_its_weights_learn(up, norm, padding):
    net = small_net(up=up, norm=norm, padding=padding, in_channels=2, out_channels=3).train()
    logits = net(pictures(*VALID_SIZE, photos=2, channels=2))
    assert logits.shape == (2, 3, *((12, 20) if padding == "valid" else VALID_SIZE))
    logits.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        # Batch norm takes away any constant that is added just before it.
        assert parameter.grad.abs().max() > 0, name


def test_bilinear_and_transpose_are_different_nets():
    assert any(isinstance(module, nn.ConvTranspose2d) for module in small_net(up="transpose").modules())
    modules = list(small_net(up="bilinear").modules())
    assert any(isinstance(module, nn.Upsample) for module in modules)
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in modules)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_channels", 0),
        ("out_channels", 0),
        ("base_channels", -1),
        ("depth", 0),
        ("norm", "group"),
        ("up", "nearest"),
        ("padding", "reflect"),
    ],
)
def test_invalid_arguments_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"UNet: {name}="):
        UNet(**{name: value})


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (571, 572, "cannot halve the 567 pixels left of an input side of 571: choose"),
        (572, 574, "cannot halve the 281 pixels left of an input side of 574: choose"),
        (572, 172, "nothing left of an input side of 172"),
    ],
)
def test_valid_padding_says_in_words_which_size_it_cannot_use(height, width, message):
    with torch.device("meta"):
        net = UNet(1, 2, padding="valid", norm=None)
        with pytest.raises(ValueError, match=message):
            net(torch.empty(1, 1, height, width))


@pytest.mark.parametrize("up", ["transpose", "bilinear"])
@pytest.mark.parametrize(("padding", "size"), [("same", (32, 48)), ("valid", VALID_SIZE)])
@pytest.mark.parametrize("axis", [-1, -2])
def test_a_mirrored_picture_gives_the_mirrored_mask_with_mirror_symmetric_weights(up, padding, size, axis):
    net = make_mirror_symmetric(small_net(up=up, padding=padding, depth=2))
    images = pictures(*size)
    logits = run(net, images)
    torch.testing.assert_close(run(net, images.flip(axis)), logits.flip(axis), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits, logits.flip(axis), atol=0.01)


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("argument", [0, 1], ids=["deep", "skip"])
def test_every_level_uses_its_deep_path_and_its_skip_connection(level, argument):
    net = small_net(depth=3)
    change = (with_zeros_in(net, level, argument) - run(net, pictures())).abs().max()
    assert change > 0.01


def test_a_detail_of_one_pixel_survives_through_the_skip_connection():
    net = small_net(depth=3)
    for parameter in net.up[-1].up.parameters():
        nn.init.zeros_(parameter)
    images = pictures(32, 48)
    changed = images.clone()
    changed[0, :, 13, 22] += 1
    difference = (run(net, changed) - run(net, images)).abs()[0, 0]
    rows, columns = difference.nonzero().unbind(1)
    assert difference.max() > 0.01
    # Four 3x3 convolutions at full size reach four pixels.
    assert rows.min() >= 13 - 4
    assert rows.max() <= 13 + 4
    assert columns.min() >= 22 - 4
    assert columns.max() <= 22 + 4


def test_the_deep_path_sees_further_than_the_skip_connection():
    net = small_net(depth=3)
    images = pictures(64, 64)
    changed = images.clone()
    changed[0, :, 32, 32] += 5
    difference = (run(net, changed) - run(net, images)).abs()[0, 0]
    difference[32 - 4 : 32 + 5, 32 - 4 : 32 + 5] = 0
    assert difference.max() > 1e-3


def test_padding_of_odd_sizes_does_not_shift_the_picture():
    net = small_net(depth=1)
    images = pictures(34, 48)
    whole, cut = run(net, images), run(net, images[..., :33, :47])
    torch.testing.assert_close(cut[..., :20, :34], whole[..., :20, :34], atol=1e-5, rtol=1e-5)


def test_odd_sizes_are_padded_by_repeating_the_edge():
    net = small_net(depth=2)
    images = pictures(33, 47)
    padded = torch.cat([images, images[..., -1:, :].expand(-1, -1, 3, -1)], dim=-2)
    padded = torch.cat([padded, padded[..., -1:]], dim=-1)
    torch.testing.assert_close(run(net, images), run(net, padded)[..., :33, :47], atol=1e-5, rtol=1e-5)


def test_photos_of_a_batch_do_not_touch_one_another_in_evaluation():
    net = small_net()
    images = pictures(photos=3)
    together = run(net, images)
    for i in range(3):
        torch.testing.assert_close(run(net, images[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)


def test_weights_start_with_the_spread_of_the_paper():
    convolution = small_net(base_channels=32, depth=1).down[0][3]
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.05)


def test_channels_last_gives_the_same_logits():
    net, images = small_net(base_channels=8, depth=3), pictures(63, 95)
    expected = run(net, images)
    net = net.to(memory_format=torch.channels_last)
    logits = run(net, images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_bf16_gives_nearly_the_same_probabilities():
    net, images = small_net(base_channels=8, depth=3), pictures(63, 95)
    expected = torch.sigmoid(run(net, images))
    with torch.autocast("cpu", torch.bfloat16):
        logits = run(net, images)
    assert logits.dtype == torch.bfloat16
    difference = (torch.sigmoid(logits.float()) - expected).abs()
    assert 0 < difference.mean() < 0.01
    assert ((expected > 0.5) == (logits > 0)).float().mean() > 0.98


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU; no g++ found")
def test_compiled_net_gives_the_same_logits():
    net, images = small_net(base_channels=4, depth=1), pictures(15, 17)
    expected = run(net, images)
    torch.testing.assert_close(run(torch.compile(net), images), expected, atol=1e-4, rtol=0)


def test_recomputed_activations_give_the_same_gradients():
    torch.manual_seed(0)
    net = UNet(base_channels=4, depth=2)
    images = torch.randn(2, 3, 24, 32)
    gradients = []
    for recompute in (False, True):
        net.recompute = recompute
        net.zero_grad()
        net(images).square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in net.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert torch.allclose(plain, again, atol=1e-6)


def test_recomputing_keeps_less_for_the_way_back():
    kept = []
    for recompute in (False, True):
        net = UNet(base_channels=4, depth=2)
        net.recompute = recompute
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=sizes: (s.append(t.numel()), t)[1], lambda t: t):
            net(torch.randn(1, 3, 32, 32))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_a_net_with_patches_sees_and_draws_single_pixels_and_keeps_odd_sizes():
    net = small_net(patch=2)
    images = pictures(33, 47)
    logits = run(net, images)
    assert logits.shape == (1, 1, 33, 47)
    changed = images.clone()
    changed[..., 16, 20] += 1
    assert not torch.equal(run(net, changed), logits)
    assert not torch.equal(logits[..., 0:32:2, 0:46:2], logits[..., 1:33:2, 0:46:2])
    with pytest.raises(ValueError, match="patch=2 needs padding='same'"):
        UNet(patch=2, padding="valid")
