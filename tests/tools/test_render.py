"""The renderer of the sample: all that works without Blender."""

from __future__ import annotations

import csv
import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools.render import finish, mesh, params, parts
from tools.render.__main__ import chosen, main
from tools.render.body import Body
from tools.render.zones import zones

ROOT = Path(__file__).parents[2]
CARS = params.line_up(seed=0, cars=24)


@pytest.fixture(scope="module")
def saloon() -> Body:
    return Body(next(spec for spec in CARS if spec.style == "saloon"))


def test_ids_are_twelve_hex_digits_and_differ() -> None:
    ids = [spec.car for spec in params.line_up(seed=0, cars=64)]
    assert all(re.fullmatch("[0-9a-f]{12}", car) for car in ids)
    assert len(set(ids)) == 64


def test_every_split_has_cars_of_several_styles() -> None:
    for fold in (0, 1):
        styles = {spec.style for spec in CARS if spec.fold == fold}
        assert len([spec for spec in CARS if spec.fold == fold]) >= 2
        assert len(styles) >= 2
    training = [spec for spec in CARS if spec.fold >= 2]
    assert {spec.style for spec in training} == set(params.STYLES)
    assert len(params.STYLES) >= 6


def test_fold_is_the_id_modulo_ten() -> None:
    assert all(spec.fold == int(spec.car, 16) % 10 for spec in CARS)
    assert [spec.fold for spec in CARS] == [params.wanted_fold(i) for i in range(24)]


def test_same_seed_same_cars_and_another_seed_others() -> None:
    assert params.line_up(0, 24) == CARS
    assert not {spec.car for spec in CARS} & {spec.car for spec in params.line_up(1, 24)}


def test_a_car_does_not_depend_on_how_many_are_drawn() -> None:
    assert params.line_up(0, 5) == CARS[:5]


def test_views_go_once_round_in_near_equal_steps() -> None:
    for spec in CARS:
        angles = params.view_angles(spec)
        steps = np.diff(angles + [angles[0] + 360.0])
        assert len(angles) == 16
        assert steps.min() > 20
        assert steps.max() < 25
        assert abs(angles[0]) < 4


def test_front_faces_the_camera_at_angle_zero() -> None:
    turn = params.turntable_rotation(0.0)
    assert (math.cos(turn), math.sin(turn)) == pytest.approx((0.0, -1.0), abs=1e-12)
    quarter = params.turntable_rotation(90.0)
    assert math.cos(quarter) == pytest.approx(-1.0)  # the front points to the photo's left


def test_cars_have_plausible_sizes() -> None:
    for spec in CARS:
        assert 3.8 < spec.length < 6.1
        assert 1.7 < spec.width < 2.1
        assert 1.3 < spec.height < 2.0
        assert spec.front_overhang + spec.wheelbase < spec.length
        assert 0.28 < spec.wheel_radius < 0.45


def test_cars_stay_in_the_photo() -> None:
    for spec in CARS:
        near = spec.camera_distance - spec.width / 2
        assert spec.camera_focal * spec.length / near < 1.15
        assert 8 < spec.camera_pitch < 12.5


def test_file_names_follow_kaggles_layout() -> None:
    assert params.photo_name("0123456789ab", 3) == "0123456789ab_03.jpg"
    assert params.mask_name("0123456789ab", 16) == "0123456789ab_16_mask.gif"


def test_rounded_polygon_and_distance_agree_with_a_square() -> None:
    square = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    x, z = np.array([0.5, 2.0, 0.9]), np.array([0.5, 0.5, 0.5])
    assert mesh.polygon_distance(square, x, z) == pytest.approx([-0.5, 1.0, -0.1])
    curve = mesh.rounded_polygon([tuple(p) for p in square])
    assert curve.min() >= 0
    assert curve.max() <= 1


def test_surface_net_of_a_sphere_is_closed_and_faces_outwards() -> None:
    line = np.arange(-12, 13) * 0.1
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1)
    vertices, quads = mesh.surface_net(np.linalg.norm(grid, axis=-1) - 1.0, np.full(3, -1.2), 0.1)
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(1.0, abs=0.03)
    edges = {(int(q[i]), int(q[(i + 1) % 4])) for q in quads for i in range(4)}
    assert all((b, a) in edges for a, b in edges)
    a, b, c = (vertices[quads[:, i]] for i in range(3))
    assert np.all((np.cross(b - a, c - a) * a).sum(1) > 0)


@pytest.mark.parametrize(
    "solid",
    [
        mesh.rounded_box((1.0, 0.5, 0.4), 0.1),
        mesh.lathe([(1.0, -0.1), (1.0, 0.1)]),
        mesh.tube([(0, 0, 0), (1, 0, 0), (2, 0, 0)], 0.1),
    ],
)
def test_simple_solids_face_outwards(solid: mesh.Mesh) -> None:
    """The volume under the faces is positive only if they look outwards."""
    vertices = solid.vertices - solid.vertices.mean(0)
    a, b, c = (vertices[[face[i] for face in solid.faces]] for i in range(3))
    assert (np.cross(b - a, c - a) * a).sum() > 0


def test_shell_is_as_big_as_the_car_says_and_the_same_on_both_sides(saloon: Body) -> None:
    spec = saloon.spec
    vertices, _, normals = saloon.mesh()
    size = np.ptp(vertices, axis=0)
    assert size[0] == pytest.approx(spec.length, abs=0.12)
    assert size[1] == pytest.approx(spec.width, abs=0.12)
    assert vertices[:, 2].max() == pytest.approx(spec.height, abs=0.08)
    assert np.abs(saloon.distance(vertices)).max() < 0.01
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0, abs=1e-3)
    assert vertices[:, 1].min() == pytest.approx(-vertices[:, 1].max(), abs=1e-3)


def test_every_style_has_glass_lamps_and_a_shell() -> None:
    for style in params.STYLES:
        spec = next(spec for spec in params.line_up(0, 32) if spec.style == style)
        body = Body(spec)
        vertices, _, _ = body.mesh()
        found = zones(body, vertices)
        for zone in ("glass", "black", "head", "tail", "grille"):
            share = float((found[zone] < 0).mean())
            assert 0.0005 < share < 0.6, (style, zone, share)
        assert 0.05 < float((found["glass"] < 0).mean()) < 0.35, style


def test_parts_stand_on_the_floor_and_mirrors_stick_out(saloon: Body) -> None:
    made = parts.all_parts(saloon)
    assert made["rubber"].vertices[:, 2].min() == pytest.approx(0.0, abs=0.01)
    assert made["mirror"].vertices[:, 1].max() > saloon.half
    assert {"rim", "disc", "seat", "plate", "chrome", "black", "paint"} <= set(made)


def test_every_wheel_kind_has_gaps_between_its_spokes(saloon: Body) -> None:
    for kind in params.RIMS:
        wheel = parts.wheel(dataclasses.replace(saloon.spec, rim=kind))
        assert len(wheel["rim"]) > 5, kind


def test_mask_is_two_valued_and_thresholded_at_half(tmp_path: Path) -> None:
    coverage = np.array([[0.0, 0.4, 0.6, 1.0]] * 3)
    path = tmp_path / "x_mask.gif"
    finish.mask_image(coverage).save(path)
    with Image.open(path) as mask:
        assert np.asarray(mask).tolist() == [[0, 0, 1, 1]] * 3
        assert np.unique(np.asarray(mask.convert("L"))).tolist() == [0, 255]


def test_parts_are_what_covers_most_and_fill_the_mask() -> None:
    shares = np.zeros((1, 6, 4))  # body, glass, wheel, light
    shares[0] = [
        (0.1, 0.6, 0.0, 0.2),
        (0.0, 0.1, 0.5, 0.0),
        (0.2, 0.0, 0.0, 0.3),
        (1.0, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 0.4, 0.0, 0.0),
    ]
    image = finish.parts_image(shares, np.array([[1, 1, 1, 1, 1, 0]]))
    assert image.mode == "P"
    assert np.asarray(image).tolist() == [[2, 3, 4, 1, 1, 0]]
    assert len(np.unique(np.asarray(image.convert("RGB"))[0], axis=0)) == 5


def test_body_between_the_spokes_is_wheel() -> None:
    shares = np.zeros((5, 7, 4))
    shares[..., 0] = 1.0
    shares[0:5, 0:5] = (0.0, 0.0, 1.0, 0.0)
    shares[1, 1:4] = (1.0, 0.0, 0.0, 0.0)  # the wheel arch behind the spokes
    shares[3, 1] = (0.0, 0.0, 0.0, 1.0)
    mask = np.ones((5, 7), np.uint8)
    mask[3, 3] = 0  # the floor is seen between the spokes
    labels = np.asarray(finish.parts_image(shares, mask))
    assert labels[1].tolist() == [3] * 5 + [1, 1]
    assert labels[3].tolist() == [3, 4, 3, 0, 3, 1, 1]


def test_part_labels_are_fitted_to_the_masks_that_are_there(tmp_path: Path) -> None:
    _fake_car(tmp_path / "sample", CARS[0])
    shares = np.ones((params.HEIGHT, params.WIDTH, 4)) * (0.0, 1.0, 0.0, 0.0)
    finish.save_parts(tmp_path / "scratch", CARS[0].car, 5, shares, tmp_path / "sample")
    path = tmp_path / "scratch" / "parts" / f"{CARS[0].car}_05_parts.png"
    with Image.open(path) as parts_file, Image.open(finish.paths(tmp_path / "sample", CARS[0].car, 5)[1]) as mask:
        assert np.array_equal(np.asarray(parts_file), 2 * np.asarray(mask))


def test_development_adds_a_little_noise_and_always_the_same() -> None:
    photo = np.full((params.HEIGHT, params.WIDTH, 3), 128, np.uint8)
    first = finish.developed(photo, CARS[0], 1)
    assert np.array_equal(first, finish.developed(photo, CARS[0], 1))
    assert not np.array_equal(first, finish.developed(photo, CARS[0], 2))
    assert 0.3 < first.std() < 3.0
    assert abs(first.mean() - 128) < 0.2


def _fake_car(out: Path, spec: params.CarSpec) -> None:
    photo = np.full((params.HEIGHT, params.WIDTH, 3), 200, np.uint8)
    coverage = np.zeros((params.HEIGHT, params.WIDTH))
    coverage[100:200, 100:340] = 1.0
    for view in range(1, 17):
        finish.save_view(out, spec, view, photo, coverage)
        finish.save_parts(out, spec.car, view, np.dstack([coverage] * 4), out)


def test_table_and_sheet_list_complete_cars_only(tmp_path: Path) -> None:
    _fake_car(tmp_path, CARS[0])
    _fake_car(tmp_path, CARS[1])
    finish.paths(tmp_path, CARS[1].car, 7)[1].unlink()
    assert finish.complete(tmp_path, CARS[0].car)
    assert not finish.complete(tmp_path, CARS[1].car)
    finish.write_table(tmp_path, CARS)
    with (tmp_path / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["car"] for row in rows] == [CARS[0].car]
    assert float(rows[0]["foreground"]) == pytest.approx(100 * 240 / (480 * 320), abs=1e-4)
    assert rows[0]["split"] == "test"
    finish.write_sheet(tmp_path, CARS, tmp_path / "sheet.jpg")
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.width == 6 * 240
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_a_drawn_car_is_moved_whole(tmp_path: Path) -> None:
    _fake_car(tmp_path / "scratch", CARS[0])
    finish.move_car(tmp_path / "scratch", tmp_path / "out", CARS[0].car)
    assert finish.complete(tmp_path / "out", CARS[0].car)
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]


def test_part_labels_alone_are_moved_beside_the_photos(tmp_path: Path) -> None:
    _fake_car(tmp_path / "scratch", CARS[0])
    finish.move_car(tmp_path / "scratch", tmp_path / "out", CARS[0].car, photos=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["parts"]
    assert len(list((tmp_path / "out" / "parts").iterdir())) == 16
    assert not finish.photographed(tmp_path / "out", CARS[0].car)


@pytest.mark.parametrize(("missing", "photos"), [(0, True), (1, True), (2, False)])
def test_only_what_is_missing_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int, photos: bool
) -> None:
    _fake_car(tmp_path, CARS[0])
    finish.paths(tmp_path, CARS[0].car, 7)[missing].unlink()
    assert not finish.complete(tmp_path, CARS[0].car)
    drawn = []

    def draw(spec: params.CarSpec, out: Path, samples: int, threads: int, photos: bool) -> None:
        drawn.append((spec.car, photos))
        _fake_car(out, spec)

    monkeypatch.setattr("tools.render.__main__.draw_car", draw)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert main(["--out", str(tmp_path), "--cars", "1"]) == 0
    assert drawn == [(CARS[0].car, photos)]


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(target: Path) -> None:
        target.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish.write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_car_is_chosen_by_position_or_id() -> None:
    assert chosen(CARS, None) == CARS
    assert chosen(CARS, "3") == [CARS[3]]
    assert chosen(CARS, CARS[5].car) == [CARS[5]]
    with pytest.raises(SystemExit, match="no car 'ffff'"):
        chosen(CARS, "ffff")


def test_finished_cars_need_no_blender(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fake_car(tmp_path, CARS[0])
    assert main(["--out", str(tmp_path), "--cars", "1"]) == 0
    assert "1 of 1 cars are already complete" in capsys.readouterr().out
    assert (tmp_path / "metadata.csv").is_file()
    assert (tmp_path / "parts" / "dataset.toml").read_text(encoding="utf-8") == finish.DESCRIPTION


def test_missing_blender_is_said_in_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "import runpy, sys; sys.modules['bpy'] = None; runpy.run_module('tools.render', run_name='__main__')",
        *("--out", str(tmp_path), "--car", "0"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install -r tools/render/requirements.txt" in done.stderr
    assert (ROOT / "tools" / "render" / "requirements.txt").is_file()


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(SystemExit, match="at least 1"):
        main(["--cars", "0"])
