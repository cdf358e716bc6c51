import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from carvana_lib.pictures.u_drawing import draw_unet, record_levels
from carvana_lib.unet import DoubleConv, UNet

NETS = {
    "depth 2": ({"depth": 2, "base_channels": 4}, (96, 64)),
    "depth 4": ({"depth": 4, "base_channels": 2}, (96, 64)),
    "patch 2, odd size": ({"depth": 2, "base_channels": 4, "patch": 2}, (95, 63)),
    "valid": ({"in_channels": 1, "out_channels": 2, "base_channels": 2, "padding": "valid", "norm": None}, (572, 572)),
    "bilinear": ({"depth": 1, "base_channels": 3, "up": "bilinear"}, (16, 16)),
}


@pytest.fixture(params=NETS.values(), ids=NETS)
def net_and_size(request):
    settings, size = request.param
    torch.manual_seed(0)
    return UNet(**settings), size


def photo(net, size):
    return torch.rand(1, net.stem[0].in_channels // net.patch**2, *reversed(size))


def labels(axis):
    """Channels, height and width of each box, in the order in which they were drawn; the label says width x height."""
    texts = [text.get_text() for text in axis.texts if text.get_text()]
    rows = [text.replace("$\\bf{", "").replace("}$\n", "x").split("x") for text in texts]
    return [(int(channels), int(height), int(width)) for channels, width, height in rows]


def test_the_labels_are_the_shapes_that_hooks_see(net_and_size):
    net, size = net_and_size
    figure = draw_unet(net, size, "a net")
    plt.close(figure)
    seen = []
    blocks = [module for module in net.modules() if isinstance(module, DoubleConv)]
    for block in blocks:
        block.register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0].shape[1:], output.shape[1:]]))
    net.head.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[1:]))
    with torch.inference_mode():
        net.eval()(photo(net, size))
    assert labels(figure.axes[0]) == [tuple(shape) for shape in seen]
    assert len(seen) == 4 * net.depth + 3
    assert figure.axes[0].get_title() == "a net"


def test_the_papers_net_is_drawn_from_572_to_388_without_computing_a_number():
    with torch.device("meta"):
        paper = UNet(in_channels=1, out_channels=2, padding="valid", norm=None)
    figure = draw_unet(paper, (572, 572))
    plt.close(figure)
    shapes = labels(figure.axes[0])
    assert shapes[0] == (1, 572, 572)
    assert shapes[9] == (1024, 28, 28)
    assert shapes[-1] == (2, 388, 388)
    named = [text for text in figure.axes[0].texts if text.get_text()]
    # Both labels of the bottom stand below its boxes: above them they would touch the level above.
    assert [text.get_va() for text in named[8:10]] == ["top", "top"]


def test_every_move_has_its_arrows(net_and_size):
    net, size = net_and_size
    figure = draw_unet(net, size)
    plt.close(figure)
    arrows = [text for text in figure.axes[0].texts if not text.get_text()]
    # Convolutions on the way down, at the bottom, on the way up and in the head; down, up and skip on every level.
    assert len(arrows) == (2 * net.depth + 2) + 3 * net.depth
    level = [arrow for arrow in arrows if arrow.xy[1] == arrow.xyann[1]]
    assert len(level) == (2 * net.depth + 2) + net.depth
    assert all(arrow.xyann[0] < arrow.xy[0] for arrow in level)
    names = [text.get_text().split(":")[0] for text in figure.legends[0].get_texts()]
    assert names == ["convolve twice (last", "down", "up", "skip"]


def test_boxes_are_as_wide_as_channels_and_as_high_as_maps(net_and_size):
    net, size = net_and_size
    figure = draw_unet(net, size)
    plt.close(figure)
    areas = sum(patch.get_width() * patch.get_height() for patch in figure.axes[0].patches)
    shapes = labels(figure.axes[0])
    assert areas == pytest.approx(sum(channels * height for channels, height, _ in shapes))


def test_drawing_leaves_the_net_as_it_was(net_and_size):
    net, size = net_and_size
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    plt.close(draw_unet(net, size))
    assert net.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(module._forward_hooks for module in net.modules())


def test_a_size_that_a_valid_net_cannot_halve_is_refused():
    with pytest.raises(ValueError, match="cannot halve"):
        draw_unet(UNet(base_channels=2, padding="valid"), (571, 572))


@torch.inference_mode()
def test_levels_are_recorded_in_order_with_their_numbers(net_and_size):
    net, size = net_and_size
    net.eval()
    with record_levels(net) as levels:
        net(photo(net, size))
    down = [f"down {level}" for level in range(net.depth + 1)]
    up = [f"up {level}" for level in reversed(range(net.depth))]
    assert list(levels) == [*down, *up, "head"]
    read, written = levels["head"]
    assert torch.equal(nn.functional.conv2d(read, net.head.weight, net.head.bias), written)
    # What "up 0" reads ends with what the transposed or bilinear step made of the level below.
    assert torch.equal(levels["up 0"][0][:, net.stem[0].out_channels :], net.up[-1].up(levels[[*levels][-3]][1]))


def test_hooks_are_gone_after_an_error():
    net = UNet(base_channels=2, depth=1)
    with pytest.raises(RuntimeError, match="stop"), record_levels(net):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in net.modules())
