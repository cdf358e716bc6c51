import sys

import numpy as np
import pytest
import torch

from carvana_lib.base.errors import CarvanaError
from carvana_lib.extras.onnx import export_onnx
from carvana_lib.run.weights import load_model
from carvana_lib.unet import UNet


def probabilities(path, photos):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probability"], {"photo": photos.numpy()})[0]


@pytest.mark.parametrize(("patch", "classes"), [(1, 1), (2, 1), (2, 3)])
def test_onnx_gives_the_same_probabilities_for_any_number_of_photos(tmp_path, patch, classes):
    torch.manual_seed(0)
    model = UNet(out_channels=classes, base_channels=4, depth=2, patch=patch).eval()
    path = export_onnx(model, (50, 33), tmp_path / "net.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    for count in (1, 3):
        photos = torch.rand(count, 3, 33, 50)
        with torch.inference_mode():
            logits = model(photos * 2 - 1)
            expected = torch.sigmoid(logits) if classes == 1 else torch.softmax(logits, 1)
        np.testing.assert_allclose(probabilities(path, photos), expected, atol=1e-5)


def test_a_trained_net_draws_the_same_masks(tmp_path, trained):
    model, config = load_model(trained)
    path = export_onnx(model, config.size, tmp_path / "net.onnx")
    photos = torch.rand(2, 3, config.size[1], config.size[0])
    with torch.inference_mode():
        masks = torch.sigmoid(model(photos * 2 - 1)) > 0.5
    assert ((probabilities(path, photos) > 0.5) == masks.numpy()).mean() > 0.9999


@pytest.mark.parametrize("version", ["0.5.3", "0.7.0"])
def test_a_package_that_exports_wrong_nets_is_refused(tmp_path, monkeypatch, version):
    monkeypatch.setattr("onnxscript.__version__", version)
    with pytest.raises(CarvanaError, match=f"onnxscript {version} exports wrong nets: pip install"):
        export_onnx(UNet(base_channels=2, depth=1), (16, 16), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(CarvanaError, match="pip install"):
        export_onnx(UNet(base_channels=2, depth=1), (16, 16), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []
