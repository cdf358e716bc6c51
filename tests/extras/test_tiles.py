import numpy as np
import pytest
from helpers import draw

from carvana_lib.base.errors import CarvanaError
from carvana_lib.extras.tiles import predict_tiled
from carvana_lib.prediction import predict_array
from carvana_lib.run.weights import load_model


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained)[0]


def test_one_tile_over_everything_is_the_whole_picture(model):
    photo = np.asarray(draw(99, 3)[0])
    np.testing.assert_allclose(
        predict_tiled(model, photo, (96, 64), tile=96), predict_array(model, photo, (96, 64)), atol=1e-4
    )


def test_tiles_agree_with_the_whole_picture_away_from_their_edges(model):
    photo = np.asarray(draw(99, 3, (192, 128))[0])
    whole, tiled = predict_array(model, photo, (192, 128)), predict_tiled(model, photo, (192, 128), 96, 48)
    assert tiled.shape == whole.shape
    assert ((whole > 0.5) == (tiled > 0.5)).mean() > 0.97
    for tile, overlap in ((64, 64), (64, -1)):
        with pytest.raises(CarvanaError, match="overlap"):
            predict_tiled(model, photo, (192, 128), tile, overlap)
