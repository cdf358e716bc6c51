"""What each rendered car is, and where the camera stands. Plain Python, no Blender needed.

Lengths are in metres, angles in degrees, colours linear RGB in [0, 1]. In the car's own frame x points forward, y to
the car's left, and z up. x = 0 is midway between the axles, z = 0 is the floor.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from random import Random

from .styles import PAINTS, STYLES, BodyStyle

VIEWS = 16
WIDTH, HEIGHT = 480, 320
TEST_FOLD, VALIDATION_FOLD = 0, 1

# Style and colour of each car; more cars repeat the list. The order matters: the folds below go by position.
LINE_UP: tuple[tuple[str, str], ...] = (
    ("saloon", "white"),
    ("suv", "black"),
    ("hatchback", "red"),
    ("pickup", "dark red"),
    ("van", "silver"),
    ("coupe", "black"),
    ("suv", "white"),
    ("saloon", "silver"),
    ("estate", "grey"),
    ("hatchback", "white"),
    ("saloon", "black"),
    ("suv", "red"),
    ("pickup", "black"),
    ("coupe", "red"),
    ("hatchback", "blue"),
    ("van", "white"),
    ("saloon", "dark red"),
    ("suv", "silver"),
    ("coupe", "white"),
    ("saloon", "navy"),
    ("hatchback", "silver"),
    ("suv", "grey"),
    ("pickup", "white"),
    ("van", "brown"),
    ("saloon", "grey"),
    ("estate", "black"),
    ("suv", "navy"),
    ("coupe", "blue"),
    ("hatchback", "green"),
    ("suv", "beige"),
    ("saloon", "red"),
    ("pickup", "silver"),
)
TEST_POSITIONS = (0, 1, 13)
VALIDATION_POSITIONS = (2, 7, 12)

RIMS = ("five", "ten", "double", "seven", "six", "multi", "cover")


@dataclass(frozen=True)
class CarSpec(BodyStyle):
    """One car: its own measures, paint and wheels, and the small differences between the photo sessions."""

    index: int
    car: str
    style: str
    colour: str
    paint: tuple[float, float, float]
    metallic: float
    roughness: float
    rim: str
    rim_colour: tuple[float, float, float]
    cladding: bool
    roof_rails: bool
    aerial: str  # "mast", "fin" or "none"
    dark_roof: bool
    chrome: bool
    glass_tint: float  # share of light through the front glass
    rear_tint: float  # share of light through the glass behind the driver
    seat: tuple[float, float, float]
    grille: float  # 0 thin and wide .. 1 tall
    lamp: float  # 0 slim .. 1 tall
    position: tuple[float, float]  # of the car's centre on the turntable
    exposure: float  # in stops
    warmth: float  # -1 bluish .. 1 yellowish
    camera_height: float
    camera_distance: float
    camera_focal: float  # focal length over the photo's width
    camera_pitch: float  # degrees below the horizon
    camera_pan: float
    stage_edge: float  # distance from the turntable's centre to the front edge of the stage
    edge_kind: str  # of the ground in front of the stage: "white", "dark" or "wood"
    noise: float  # standard deviation of the sensor noise, in 8-bit steps
    quality: int  # of the JPEG file

    @property
    def fold(self) -> int:
        """The car's fold, 0..9: 0 test, 1 validation, 2..9 training."""
        return fold_of(self.car)


def fold_of(car: str) -> int:
    """The fold of a car id: the id read as a hexadecimal number, modulo 10."""
    return int(car, 16) % 10


def wanted_fold(index: int) -> int:
    """The fold of the car at this position. It is chosen so that every split has several body styles."""
    place = index % len(LINE_UP)
    if place in TEST_POSITIONS:
        return TEST_FOLD
    if place in VALIDATION_POSITIONS:
        return VALIDATION_FOLD
    return 2 + index % 8


def car_id(seed: int, index: int) -> str:
    """An id of 12 hexadecimal digits in the fold `wanted_fold(index)`; it depends on seed and position only."""
    for attempt in range(1000):
        car = hashlib.sha256(f"{seed}/{index}/{attempt}".encode()).hexdigest()[:12]
        if fold_of(car) == wanted_fold(index):
            return car
    raise RuntimeError(f"no id found for car {index} of seed {seed}")


def view_angles(spec: CarSpec) -> list[float]:
    """The turntable's angles for views 1..16, in steps of about 22.5 degrees; at 0 the front faces the camera."""
    random = Random(f"angles/{spec.car}")
    start = random.uniform(-3.0, 1.5)
    return [start + view * 360.0 / VIEWS + random.uniform(-0.6, 0.6) for view in range(VIEWS)]


def photo_name(car: str, view: int) -> str:
    """File name of a photo; `view` counts from 1."""
    return f"{car}_{view:02d}.jpg"


def mask_name(car: str, view: int) -> str:
    """File name of a mask; `view` counts from 1."""
    return f"{car}_{view:02d}_mask.gif"


def parts_name(car: str, view: int) -> str:
    """File name of the part labels; `view` counts from 1."""
    return f"{car}_{view:02d}_parts.png"


def _jitter(random: Random, value: float, share: float) -> float:
    return value * (1.0 + random.uniform(-share, share))


def _point(random: Random, point: tuple[float, float], dx: float, dz: float) -> tuple[float, float]:
    return point[0] + random.uniform(-dx, dx), point[1] + random.uniform(-dz, dz)


def _shape(random: Random, style: BodyStyle) -> dict[str, object]:
    """Size and side view of one car: each number of its style changed a little, heights scaled together."""
    tall = _jitter(random, 1.0, 0.025)
    scale = _jitter(random, 1.0, 0.035)

    def lift(point: tuple[float, float]) -> tuple[float, float]:
        return point[0], point[1] * tall

    return {
        **vars(style),
        "length": style.length * scale,
        "width": _jitter(random, style.width, 0.02),
        "height": style.height * tall,
        "wheelbase": style.wheelbase * scale * _jitter(random, 1.0, 0.012),
        "front_overhang": _jitter(random, style.front_overhang, 0.05),
        "wheel_radius": _jitter(random, style.wheel_radius, 0.04),
        "clearance": _jitter(random, style.clearance, 0.08),
        "nose": style.nose * tall + random.uniform(-0.03, 0.03),
        "cowl": lift(_point(random, style.cowl, 0.05, 0.015)),
        "screen_top": lift(_point(random, style.screen_top, 0.06, 0.0)),
        "peak": _jitter(random, style.peak, 0.3),
        "roof_end": lift(_point(random, style.roof_end, 0.06, 0.02)),
        "rear_base": lift(_point(random, style.rear_base, 0.03, 0.02)),
        "deck": style.deck * tall,
        "roof_width": _jitter(random, style.roof_width, 0.02),
    }


def _fittings(random: Random, style: str, colour: str) -> dict[str, object]:
    """Paint, wheels, glass and trim of one car."""
    paint, metallic, roughness = PAINTS[colour]
    silver_rim = random.random() < 0.75
    rim_level = random.uniform(0.45, 0.65) if silver_rim else random.uniform(0.02, 0.06)
    privacy = style in ("suv", "van", "pickup", "estate") and random.random() < 0.7
    tint = random.uniform(0.70, 0.84)
    seat = random.choice(((0.02, 0.02, 0.022), (0.05, 0.05, 0.055), (0.28, 0.23, 0.17), (0.13, 0.13, 0.13)))
    return {
        "paint": tuple(min(1.0, _jitter(random, c, 0.06)) for c in paint),
        "metallic": metallic,
        "roughness": _jitter(random, roughness, 0.2),
        "rim": random.choice(RIMS[:-1] if style in ("coupe", "suv") else RIMS),
        "rim_colour": (rim_level, rim_level, rim_level * 1.02),
        "cladding": style in ("suv", "pickup") and random.random() < 0.55,
        "roof_rails": style in ("suv", "estate", "van") and random.random() < 0.75,
        "aerial": random.choice(("mast", "mast", "fin", "none")),
        "dark_roof": colour not in ("black", "navy") and style in ("hatchback", "suv") and random.random() < 0.25,
        "chrome": random.random() < 0.6,
        "glass_tint": tint,
        "rear_tint": random.uniform(0.18, 0.32) if privacy else tint * 0.9,
        "seat": seat,
        "grille": random.uniform(0.7, 1.0) if style == "pickup" else random.random(),
        "lamp": random.random(),
    }


def _photography(random: Random) -> dict[str, object]:
    """Studio, camera and light of one car: the same kind of studio, with small differences for each car."""
    height = random.gauss(2.02, 0.06)
    edge = random.choice(("white", "white", "dark", "wood"))
    return {
        "position": (random.uniform(-0.15, 0.15), random.uniform(-0.08, 0.08)),
        "exposure": random.gauss(0.0, 0.10),
        "warmth": random.uniform(-0.7, 1.0),
        "camera_height": height,
        "camera_distance": random.gauss(8.7, 0.12),
        "camera_focal": random.gauss(1.39, 0.025),
        "camera_pitch": random.gauss(10.2, 0.35),
        "camera_pan": random.gauss(0.0, 0.5),
        "stage_edge": random.uniform(3.35, 3.6) if edge != "white" else random.uniform(3.8, 4.6),
        "edge_kind": edge,
        "noise": random.uniform(0.3, 1.0),
        "quality": random.randint(82, 89),
    }


def car_spec(seed: int, index: int) -> CarSpec:
    """Everything about one car; the same seed and position give the same car."""
    style, colour = LINE_UP[index % len(LINE_UP)]
    random = Random(f"{seed}/{index}")
    return CarSpec(
        index=index,
        car=car_id(seed, index),
        style=style,
        colour=colour,
        **_shape(random, STYLES[style]),  # type: ignore[arg-type]
        **_fittings(random, style, colour),  # type: ignore[arg-type]
        **_photography(random),  # type: ignore[arg-type]
    )


def line_up(seed: int, cars: int) -> list[CarSpec]:
    """The first `cars` cars of a seed, in order."""
    return [car_spec(seed, index) for index in range(cars)]


def turntable_rotation(angle: float) -> float:
    """Rotation about z, in radians, that shows a car at this angle; at 0 its front faces the camera, at -y."""
    return math.radians(-90.0 - angle)
