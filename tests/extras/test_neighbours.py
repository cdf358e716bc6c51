import numpy as np
import pytest

from carvana_lib.extras.neighbours import nearest_outside, random_parts


def test_the_nearest_photo_of_another_part_is_found():
    features = np.array([[0.0], [1.0], [5.0], [7.0], [2.0]])
    assert nearest_outside(features, np.array([0, 0, 1, 1, 2])).tolist() == [4, 4, 4, 4, 1]
    assert nearest_outside(features, np.arange(5)).tolist() == [1, 0, 3, 2, 1]


def test_the_neighbours_are_those_of_a_search_through_all_pairs():
    generator = np.random.default_rng(0)
    features, parts = generator.random((60, 5)), generator.integers(4, size=60)
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    distances[parts[:, None] == parts] = np.inf
    nearest = nearest_outside(features, parts)
    assert (nearest == distances.argmin(1)).all()
    assert (parts[nearest] != parts).all()


def test_of_equally_near_photos_the_first_is_taken():
    assert nearest_outside(np.zeros((4, 2)), np.array([0, 1, 1, 0])).tolist() == [1, 0, 0, 1]


def test_one_part_is_refused():
    with pytest.raises(ValueError, match="at least two parts"):
        nearest_outside(np.zeros((3, 2)), np.zeros(3, int))


def test_groups_stay_together_and_parts_are_of_equal_size():
    cars = np.repeat(np.arange(24), 16)
    part = random_parts(cars, seed=3)
    assert all(len(set(part[cars == car])) == 1 for car in range(24))
    assert np.bincount(part).tolist() == [96] * 4
    assert np.bincount(random_parts(np.arange(10), parts=3)).tolist() == [4, 3, 3]


def test_the_seed_decides_the_draw():
    photos = np.arange(100)
    assert (random_parts(photos, seed=1) == random_parts(photos, seed=1)).all()
    assert (random_parts(photos, seed=1) != random_parts(photos, seed=2)).any()


def test_groups_and_features_that_do_not_fit_are_refused():
    for groups in (np.array(["a", "b"]), np.array([-1, 0]), np.array([0.0, 1.0]), np.zeros((2, 2), int), []):
        with pytest.raises(ValueError, match="groups must be whole numbers from 0 up"):
            random_parts(groups)
    with pytest.raises(ValueError, match="parts=0"):
        random_parts(np.arange(4), parts=0)
    features, parts = np.zeros((4, 2)), np.array([0, 0, 1, 1])
    for one, two in ((features, parts[:3]), (features[0], parts), (features * np.nan, parts), (features[:3], parts)):
        with pytest.raises(ValueError, match="finite features"):
            nearest_outside(one, two)
    assert nearest_outside(features.tolist(), parts.tolist()).tolist() == [2, 2, 0, 0]
