"""The zones of a car's shell: glass, lamps, grille, black trim, chrome and panel gaps.

A zone is one number for each vertex: the distance to the zone's edge in metres, negative inside. The material compares
it with zero, so the edges of zones are sharp on a coarse mesh too.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .mesh import Array

Zones = dict[str, Array]
NOWHERE = 0.5  # a value far outside


def _least(*parts: Array) -> Array:
    return np.minimum.reduce(parts)


def _all(*parts: Array) -> Array:
    return np.maximum.reduce(parts)


def _window_parts(body: Body, x: Array, y: Array, z: Array, points: Array) -> tuple[Array, Array, Array]:
    """The side windows as one opening, the windscreen, the rear window."""
    s = body.spec
    bent = body.bent(points, 0.16, 0.12, 0.055)
    depth = body.cabin_side(*bent)
    (bx, bz), (ex, ez) = body.rear_base, body.roof_end
    slope = (ex - bx) / max(ez - bz, 0.05)
    quarter = {"saloon": 0.30, "coupe": 0.30, "pickup": 0.10, "hatchback": 0.22}.get(s.style, 0.15)
    behind = (bx + slope * (z - bz) + quarter - x) / np.hypot(1, slope)
    side = _all(depth + 0.07, body.belt(x) + 0.015 - z, behind, 0.3 * body.half - y)
    across = y - body.cabin_width(x, z)
    tx, tz = body.screen_top
    screen = _all(across + 0.075, body.cowl[1] + 0.035 - bent[1], bent[1] - (tz - 0.02), tx - 0.15 - bent[0])
    rear = _all(across + 0.12, bz + 0.06 - bent[1], bent[1] - (ez - 0.05), bent[0] - ex - 0.12)
    if s.style == "pickup":
        rear = _all(across + 0.18, bz + 0.10 - z, z - (ez - 0.14), x - ex - 0.15)
    return side, screen, rear


def _pillar_lines(body: Body) -> list[float]:
    """x of the window pillars where they meet the sill."""
    start, end = body.cowl[0], body.rear_base[0]
    return [start + share * (end - start) for share in body.spec.pillars]


def _pillar_gap(body: Body, x: Array, z: Array) -> Array:
    """Distance to the middle line of the nearest pillar; pillars lean back a little."""
    lean = 0.10 * (z - body.cowl[1])
    return _least(*[np.abs(x + lean - at) for at in _pillar_lines(body)])


def _lamps(body: Body, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
    """Headlamps and fog lamps, tail lamps, and the distance to the nearest bulb."""
    s = body.spec
    tall = s.style in ("suv", "pickup", "van")
    height = 0.09 + 0.07 * s.lamp + (0.05 if tall else 0.0)
    middle = s.nose - 0.06 - 0.3 * height
    inner = body.half * (0.56 + 0.08 * (1 - s.lamp))
    rise = (0.16 + 0.12 * (1 - s.lamp)) * (y - inner) + 0.10 * (body.front - 0.1 - x)
    head = _all(
        np.abs(z - middle - rise) - height / 2 - 0.02 * (y - inner),
        inner - y + 0.4 * (middle - z),
        body.front - 0.42 + 0.3 * (middle - z) - x,
    )
    fog = _all(np.hypot((y - 0.72 * body.half), (z - s.clearance - 0.20)) - 0.042, body.front - 0.4 - x)
    bulbs = _least(np.hypot(y - inner - 0.09, z - middle - 0.02), np.hypot(y - inner - 0.22, z - middle - 0.055))
    bulbs = np.where(z < s.clearance + 0.3, np.hypot(y - 0.72 * body.half, z - s.clearance - 0.20), bulbs)
    top = s.deck - (0.05 if not tall else 0.02)
    deep = (0.13 + 0.08 * s.lamp) if s.style in ("saloon", "coupe") else 0.24 + 0.14 * s.lamp
    edge = body.half * (0.56 if s.style in ("saloon", "coupe", "hatchback") else 0.76)
    if s.style == "pickup":
        top, deep, edge = s.deck - 0.06, 0.40, 0.80 * body.half
    tail = _all(z - top, top - deep - z, edge - y + 0.25 * (top - z), x - body.rear - 0.24)
    strip = _all(np.abs(z - s.clearance - 0.24) - 0.022, np.abs(y - 0.74 * body.half) - 0.10, x - body.rear - 0.3)
    white = np.hypot(y - edge - 0.09, (z - top + 0.7 * deep) * 1.2)
    return _least(head, fog), _least(tail, strip), np.where(x > 0, bulbs, white)


def _grilles(body: Body, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """The upper grille, and the air intake below it."""
    s = body.spec
    ahead = body.front - 0.25 - x
    tall = 0.07 + 0.15 * s.grille + (0.08 if s.style in ("pickup", "suv") else 0.0)
    top = s.nose - 0.055
    wide = body.half * (0.42 + 0.10 * (1 - s.grille))
    upper = _all(z - top, top - tall - z, y - wide + 0.35 * (top - z), ahead)
    low = s.clearance + 0.08
    high = min(low + 0.15, top - tall - 0.14)
    lower = _all(z - high, low - z, y - 0.56 * body.half - 0.3 * (z - low), ahead)
    return upper, lower


def _gaps(body: Body, x: Array, y: Array, z: Array) -> Zones:
    """Panel gaps. `gapN` is the signed distance to the line of a gap, `reachN` to the area in which it is drawn."""
    s = body.spec
    side = _all(s.clearance + 0.14 - z, z - body.belt(x) - 0.02, 0.75 * body.half - y)
    front_edge = body.front_axle - body.arch - 0.10 + 0.12 * (z - 0.6)
    lean = x + 0.10 * (z - body.cowl[1])
    at = _pillar_lines(body)
    last = body.rear_axle + 0.10 + 0.42 * np.clip(z - 0.55, 0, 1) - 0.25 * np.clip(z - 0.9, 0, 1)
    deck = s.deck
    bonnet = 0.80 * body.half + 0.02 * (body.front - x)
    trunk = 0.62 * body.half if s.style in ("saloon", "coupe") else 0.74 * body.half
    second = last if s.doors == 2 else np.full_like(x, -10.0)
    return {
        "gap1": x - front_edge,
        "reach1": side,
        "gap2": lean - at[0],
        "reach2": side,
        "gap3": x - second,
        "reach3": side,
        "gap4": y - bonnet,
        "reach4": _all(body.cowl[0] - 0.02 - x, x - body.front + 0.22, s.nose - 0.02 - z),
        "gap5": y - trunk,
        "reach5": _all(x - body.rear - 0.35, 0.55 * deck - z, z - deck - 0.05),
        "gap6": z - 0.56 * deck,
        "reach6": _all(x - body.rear - 0.35, y - trunk),
        "gap7": z - s.nose + 0.03,
        "reach7": _all(body.front - 0.3 - x, y - bonnet),
        "gap8": np.hypot(x - body.rear_axle + 0.12, z - 0.80 * body.belt(x)) - 0.075,
        "reach8": _all(0.8 * body.half - y, x - body.rear_axle - 0.4),
    }


def zones(body: Body, points: Array) -> Zones:
    """The values of every zone at the points (N, 3) of the shell: name -> (N,) float."""
    s = body.spec
    x, z = points[:, 0], points[:, 2]
    y = np.abs(points[:, 1])
    opening, screen, rear = _window_parts(body, x, y, z, points)
    pillar = _pillar_gap(body, x, z)
    side = _all(opening, 0.035 - pillar)
    glass = _least(side, screen, rear)
    arch = _all(body.wheel_distance(x, z) - body.arch - 0.004, 0.4 * body.half - y)
    sill = z - s.clearance - 0.045
    cowl = _all(
        body.cowl[1] - 0.045 - z, np.abs(x - body.cowl[0] - 0.06) - 0.07, y - 0.80 * body.half, z - body.cowl[1] - 0.03
    )
    head, tail, bulb = _lamps(body, x, y, z)
    grille, intake = _grilles(body, x, y, z)
    black = _least(opening - 0.014, screen - 0.016, rear - 0.016, arch, sill, cowl, intake)
    valance = _all(z - s.clearance - 0.13, x - body.rear - 0.3, y - 0.6 * body.half)
    black = _least(black, valance)
    if s.cladding:
        skirt = _least(body.wheel_distance(x, z) - body.arch - 0.06, z - s.clearance - 0.16)
        black = _least(black, skirt)
    roof = (
        _all(body.spec.height - 0.22 - z, -_least(opening, screen, rear) - 1)
        if s.dark_roof
        else np.full_like(x, NOWHERE)
    )
    trim = _all(opening - 0.034, 0.016 - opening) if s.chrome else np.full_like(x, NOWHERE)
    ring = _all(grille - 0.022, -grille)
    behind_driver = x - _pillar_lines(body)[0]
    tint = np.where(behind_driver > 0, s.glass_tint, s.rear_tint)
    tint = np.where(screen < 0.05, 0.86, tint)
    found = {
        "glass": glass,
        "black": black,
        "chrome": _least(trim, ring),
        "head": head,
        "tail": tail,
        "bulb": bulb,
        "grille": grille,
        "roof": roof,
        "tint": tint,
    }
    return {
        name: np.clip(value, -NOWHERE, NOWHERE) if name != "tint" else value
        for name, value in (found | _gaps(body, x, y, z)).items()
    }
