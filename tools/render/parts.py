"""The parts on and in a car's shell: wheels, mirrors, seats, rails, aerial, plates, handles, wipers, exhausts.

Public functions return meshes in the car's frame: name of the material -> meshes.
"""

from __future__ import annotations

import numpy as np

from .body import Body
from .mesh import Array, Mesh, joined, lathe, rotation, rounded_box, tube
from .params import CarSpec

Parts = dict[str, list[Mesh]]
TYRE_WIDTH = 0.215


def _add(parts: Parts, material: str, *meshes: Mesh) -> None:
    parts.setdefault(material, []).extend(meshes)


def _both_sides(parts: Parts, material: str, mesh: Mesh) -> None:
    _add(parts, material, mesh, mesh.mirrored())


def _plate(outline: Array, back: float, front: Array | float) -> Mesh:
    """A flat piece with the outline (N, 2) in (x, z), from y = back to y = front."""
    n = len(outline)
    front = np.broadcast_to(np.asarray(front, float), n)
    inner = np.stack([outline[:, 0], np.full(n, back), outline[:, 1]], 1)
    outer = np.stack([outline[:, 0], front, outline[:, 1]], 1)
    faces: list[tuple[int, ...]] = [tuple(range(n, 2 * n))[::-1], tuple(range(n))]
    faces += [(i, n + i, n + (i + 1) % n, (i + 1) % n) for i in range(n)]
    return Mesh(np.concatenate([inner, outer]), faces)


def _spoke(inner: float, outer: float, start: float, end: float, dish: float) -> Mesh:
    """One spoke along +x, from radius `inner` to `outer` and from width `start` to `end`; its face is near y = 0."""
    radii = np.linspace(inner, outer, 6)
    widths = start + (end - start) * ((radii - inner) / (outer - inner)) ** 1.5
    depth = -dish * (1 - ((radii - inner) / (outer - inner)) ** 2)
    outline = np.concatenate([np.stack([radii, -widths / 2], 1), np.stack([radii, widths / 2], 1)[::-1]])
    return _plate(outline, -0.055 - dish, np.concatenate([depth, depth[::-1]]))


def _spokes(kind: str, rim: float) -> list[Mesh]:
    """The spokes of a wheel whose rim has the radius `rim`; the outside is +y."""
    if kind == "cover":
        holes, width, count = 0.62, 0.10, 9
        disc = lathe([(0.0, 0.0), (holes * rim, -0.004), (holes * rim, -0.03)][::-1])
        return [disc] + [
            _spoke(holes * rim - 0.01, rim, width, 0.05, 0.004).moved(turn=rotation("y", a))
            for a in np.arange(count) * 2 * np.pi / count
        ]
    count, start, end, dish, offsets = {
        "five": (5, 0.105, 0.075, 0.025, (0.0,)),
        "six": (6, 0.075, 0.060, 0.020, (0.0,)),
        "seven": (7, 0.060, 0.048, 0.022, (0.0,)),
        "ten": (10, 0.034, 0.030, 0.020, (0.0,)),
        "double": (5, 0.036, 0.034, 0.022, (-0.17, 0.17)),
        "multi": (15, 0.024, 0.020, 0.015, (0.0,)),
    }[kind]
    angles = [i * 2 * np.pi / count + offset for i in range(count) for offset in offsets]
    return [_spoke(0.03, rim + 0.005, start, end, dish).moved(turn=rotation("y", a)) for a in angles]


def wheel(spec: CarSpec) -> Parts:
    """One wheel, in a frame with its own centre at the origin; the outside is +y."""
    radius, half = spec.wheel_radius, TYRE_WIDTH / 2
    rim = radius * (0.68 if spec.style in ("hatchback", "pickup") else 0.72)
    parts: Parts = {}
    side = [
        (rim - 0.012, -half + 0.03),
        (rim + 0.01, -half + 0.008),
        (0.5 * (rim + radius), -half - 0.004),
        (radius - 0.03, -half + 0.004),
        (radius - 0.006, -half + 0.03),
    ]
    tread = [(radius, -half * 0.5), (radius, half * 0.5)]
    mirrored = [(r, -y) for r, y in side[::-1]]
    _add(parts, "rubber", lathe(side + tread + mirrored, 64))
    face = half - 0.022
    lip = [
        (rim - 0.035, -half),
        (rim - 0.030, half - 0.05),
        (rim - 0.016, half - 0.012),
        (rim, half + 0.002),
        (rim + 0.008, half - 0.004),
        (rim - 0.004, half - 0.03),
    ]
    _add(parts, "rim", lathe(lip[::-1], 64))
    _add(parts, "rim", *[mesh.moved((0, face, 0)) for mesh in _spokes(spec.rim, rim - 0.024)])
    _add(
        parts,
        "rim",
        lathe([(0.075, face - 0.07), (0.07, face - 0.012), (0.035, face - 0.004), (0.0, face - 0.002)], 24),
    )
    _add(parts, "chrome", lathe([(0.026, face - 0.01), (0.026, face + 0.004), (0.0, face + 0.006)], 16))
    bolts = [
        rounded_box((0.018, 0.012, 0.018), 0.004, 2).moved((0.052 * np.cos(a), face - 0.006, 0.052 * np.sin(a)))
        for a in np.arange(5) * 2 * np.pi / 5 + 0.3
    ]
    _add(parts, "black", *bolts)
    disc = 0.72 * rim
    _add(parts, "disc", lathe([(0.06, -0.012), (disc, -0.012), (disc, 0.012), (0.06, 0.012)], 40))
    _add(parts, "black", rounded_box((0.07, 0.07, 0.16), 0.02, 3).moved((0.8 * disc, 0.0, 0.02)))
    return parts


def wheels(body: Body) -> Parts:
    """The four wheels in their places."""
    spec = body.spec
    one = wheel(spec)
    parts: Parts = {}
    outside = body.half - 0.022 - TYRE_WIDTH / 2
    for x, angle in ((body.front_axle, 0.35 + spec.index), (body.rear_axle, 1.1 + 2.0 * spec.index)):
        for material, meshes in one.items():
            # The calliper turns with the wheel: its place does not matter.
            turned = joined(meshes).moved(turn=rotation("y", angle)).moved((x, outside, spec.wheel_radius))
            _both_sides(parts, material, turned)
    axle = rounded_box((0.08, 2 * outside - 0.2, 0.08), 0.03, 3)
    _add(
        parts,
        "black",
        axle.moved((body.front_axle, 0, spec.wheel_radius)),
        axle.moved((body.rear_axle, 0, spec.wheel_radius)),
    )
    return parts


def mirrors(body: Body) -> Parts:
    """Side mirrors on short arms."""
    parts: Parts = {}
    x = body.cowl[0] - 0.42
    z = float(body.belt(np.array([x]))[0]) + 0.075
    tall = 0.20 if body.spec.style in ("pickup", "suv", "van") else 0.145
    y = body.half + 0.09
    shell = rounded_box((0.12, 0.22, tall), 0.055, 4).moved(turn=rotation("z", -0.22)).moved((x, y, z + 0.03))
    _both_sides(parts, "paint", shell)
    glass = rounded_box((0.01, 0.17, tall - 0.05), 0.004, 3).moved(turn=rotation("z", -0.22))
    _both_sides(parts, "mirror", glass.moved((x - 0.06, y + 0.01, z + 0.03)))
    arm = rounded_box((0.07, 0.16, 0.045), 0.015, 3).moved((x + 0.01, body.half - 0.03, z - 0.04))
    _both_sides(parts, "black", arm)
    return parts


def _surface_y(body: Body, x: float, z: float) -> float:
    """Half-width of the shell at (x, z), found by steps from outside."""
    ys = np.linspace(body.half + 0.1, 0.2, 240)
    points = np.stack([np.full_like(ys, x), ys, np.full_like(ys, z)], 1)
    inside = body.distance(points) < 0
    return float(ys[np.argmax(inside)])


def _surface_x(body: Body, y: float, z: float, front: bool) -> float:
    """x of the shell's front or rear face at (y, z)."""
    xs = (
        np.linspace(body.front + 0.05, body.front - 1.2, 400)
        if front
        else np.linspace(body.rear - 0.05, body.rear + 1.2, 400)
    )
    points = np.stack([xs, np.full_like(xs, y), np.full_like(xs, z)], 1)
    return float(xs[np.argmax(body.distance(points) < 0)])


def _surface_z(body: Body, x: float, y: float) -> float:
    """Height of the shell's top at (x, y)."""
    zs = np.linspace(body.spec.height + 0.1, 0.4, 400)
    points = np.stack([np.full_like(zs, x), np.full_like(zs, y), zs], 1)
    return float(zs[np.argmax(body.distance(points) < 0)])


def _signs(body: Body) -> Parts:
    """Number plates and maker's badges, front and rear."""
    s, parts = body.spec, {}
    plate = rounded_box((0.015, 0.31, 0.155), 0.005, 2)
    badge = lathe([(0.05, 0.0), (0.05, 0.012), (0.0, 0.02)], 24)
    rear_plate = 0.72 * s.deck if s.style != "pickup" else s.clearance + 0.30
    for front, plate_z, badge_z in ((True, s.clearance + 0.25, s.nose - 0.10), (False, rear_plate, 0.86 * s.deck)):
        out = 1 if front else -1
        plate_x = _surface_x(body, 0.0, plate_z, front) + 0.012 * out
        _add(parts, "plate", plate.moved((plate_x, 0, plate_z)))
        turned = badge.moved(turn=rotation("z", -out * np.pi / 2))
        _add(parts, "chrome", turned.moved((_surface_x(body, 0.0, badge_z, front), 0, badge_z)))
    return parts


def trim(body: Body) -> Parts:
    """Handles, plates, badges, wipers and exhausts."""
    s, parts = body.spec, _signs(body)
    cx, bx = body.cowl[0], body.rear_base[0]
    for share in s.pillars[: s.doors]:
        x = cx + (share - 0.045) * (bx - cx)
        z = float(body.belt(np.array([x]))[0]) - 0.12
        handle = rounded_box((0.20, 0.035, 0.028), 0.012, 3).moved((x, _surface_y(body, x, z) + 0.012, z))
        _both_sides(parts, "chrome" if s.chrome else "paint", handle)
    for start, end in ((0.06, 0.52), (-0.50, -0.02)):
        xs = np.linspace(cx + 0.05, cx - 0.01, 5)
        ys = np.linspace(start, end, 5)
        path = [(x, y, _surface_z(body, x, y) + 0.012) for x, y in zip(xs, ys, strict=True)]
        _add(parts, "black", tube(path, 0.009, 6))
    pipe = lathe([(0.032, -0.10), (0.036, 0.02), (0.030, 0.02), (0.028, -0.1)], 16)
    exhaust = pipe.moved(turn=rotation("z", np.pi / 2))
    for y in (0.5, -0.5) if s.chrome else (0.5,):
        _add(parts, "chrome", exhaust.moved((body.rear + 0.05, y * body.half, s.clearance + 0.045)))
    return parts


def roof(body: Body) -> Parts:
    """Roof rails and aerial."""
    s, parts = body.spec, {}
    front, back = body.screen_top[0] - 0.15, body.roof_end[0] + 0.02
    if s.roof_rails:
        y = body.half * s.roof_width - 0.075
        xs = np.linspace(front, back, 13)
        lift = 0.055 * np.clip(np.minimum(xs[0] - xs, xs - xs[-1]) / 0.12, 0, 1) + 0.005
        path = [(x, y, _surface_z(body, x, y) + up) for x, up in zip(xs, lift, strict=True)]
        _both_sides(parts, "rail", tube(path, 0.016, 8))
    x = back + 0.10
    z = _surface_z(body, x, 0.0)
    if s.aerial == "mast":
        foot = rounded_box((0.09, 0.05, 0.035), 0.015, 3).moved((x, 0, z + 0.01))
        _add(parts, "black", foot, tube([(x, 0, z + 0.02), (x - 0.05, 0, z + 0.14), (x - 0.13, 0, z + 0.34)], 0.005, 6))
    elif s.aerial == "fin":
        fin = rounded_box((0.16, 0.035, 0.07), 0.017, 4)
        lean = fin.vertices.copy()
        lean[:, 0] -= 0.6 * np.clip(lean[:, 2] + 0.035, 0, None)
        _add(parts, "paint", Mesh(lean, fin.faces).moved((x, 0, z + 0.02)))
    return parts


def _seats(body: Body, floor: float) -> list[Mesh]:
    """Seats in two or three rows; each row is as high as the roof above it allows."""
    s, (cx, cz) = body.spec, body.cowl
    meshes = []
    rows = [cx - 1.28] + ([cx - 2.10] if s.doors == 2 else [cx - 1.95]) + ([cx - 2.95] if s.style == "van" else [])
    for number, x in enumerate(rows):
        top = min(cz + 0.40, _surface_z(body, x - 0.34, 0.45) - 0.07)
        if x - 0.35 < body.rear_base[0] or top < cz + 0.12:
            continue
        wide = 0.50 if number == 0 else 0.62
        back = rounded_box((0.15, wide, top - 0.17 - floor), 0.06, 3).moved(turn=rotation("y", -0.28))
        for y in (0.37, -0.37):
            meshes.append(back.moved((x - 0.1, y, 0.5 * (top - 0.17 + floor) + 0.03)))
            meshes.append(rounded_box((0.10, 0.26, 0.16), 0.05, 3).moved((x - 0.26, y, top - 0.07)))
            meshes.append(rounded_box((0.5, wide, 0.2), 0.07, 3).moved((x + 0.18, y, floor + 0.1)))
    return meshes


def interior(body: Body) -> Parts:
    """What is seen through the glass: seats, dashboard and steering wheel."""
    cx, cz = body.cowl
    floor = cz - 0.62
    parts: Parts = {"seat": _seats(body, floor)}
    dash = rounded_box((0.55, 2 * body.half * 0.84, 0.26), 0.09, 4).moved((cx - 0.36, 0, cz - 0.10))
    _add(parts, "inside", dash)
    ring = [(0.18 * np.sin(a), 0.18 * np.cos(a), 0.0) for a in np.linspace(0, 2 * np.pi, 25)]
    path = np.array(ring) @ rotation("y", -1.15).T + (cx - 0.78, 0.37, cz - 0.02)
    _add(parts, "inside", tube(path, 0.016, 6))
    mirror = rounded_box((0.02, 0.20, 0.055), 0.008, 2)
    _add(parts, "inside", mirror.moved((cx - 0.63, 0.0, body.spec.height - 0.2)))
    floor_plan = rounded_box((cx - body.rear_base[0] - 0.3, 2 * body.half * 0.8, 0.05), 0.02, 2)
    _add(parts, "inside", floor_plan.moved((0.5 * (cx + body.rear_base[0]), 0, floor - 0.03)))
    return parts


def all_parts(body: Body) -> dict[str, Mesh]:
    """All parts of a car except its shell: name of the material -> one mesh."""
    collected: Parts = {}
    for group in (wheels(body), mirrors(body), trim(body), roof(body), interior(body)):
        for material, meshes in group.items():
            _add(collected, material, *meshes)
    return {material: joined(meshes) for material, meshes in collected.items()}
