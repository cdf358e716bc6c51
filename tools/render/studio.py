"""The studio: turntable, curved grey floor, white wall with lettering, lights and camera."""

from __future__ import annotations

import math
from itertools import pairwise

import bpy
import numpy as np

from .materials import Nodes, material, plain
from .mesh import Array, Mesh
from .params import CarSpec

WORD = "SEGMENT"
BOLD_FROM = 3  # the first letters are thin, the others bold
TURNTABLE = 3.08  # radius
WALL = 5.0  # radius of the curved wall about the turntable
RIM = 0.80  # height at which the grey floor's curved end stops
LETTER_HEIGHT = 1.07

# Of each letter the width, and its strokes: lists of points in a box one unit high, joined by lines.
_ARC = [(math.cos(math.radians(a)), math.sin(math.radians(a))) for a in range(0, 361, 15)]
LETTERS: dict[str, tuple[float, list[list[tuple[float, float]]]]] = {
    "S": (
        0.66,
        [
            [(0.33 + 0.32 * c, 0.75 + 0.25 * s) for c, s in _ARC[2:18]]
            + [(0.33 - 0.33 * c, 0.25 - 0.25 * s) for c, s in _ARC[-7::-1][:16]]
        ],
    ),
    "E": (0.62, [[(0.62, 1.0), (0.0, 1.0), (0.0, 0.0), (0.62, 0.0)], [(0.0, 0.52), (0.52, 0.52)]]),
    "G": (1.0, [[(0.5 + 0.5 * c, 0.5 + 0.5 * s) for c, s in _ARC[3:24]] + [(1.0, 0.48), (0.6, 0.48)]]),
    "M": (1.0, [[(0.0, 0.0), (0.0, 1.0), (0.5, 0.30), (1.0, 1.0), (1.0, 0.0)]]),
    "N": (0.80, [[(0.0, 0.0), (0.0, 1.0), (0.80, 0.0), (0.80, 1.0)]]),
    "T": (0.80, [[(0.0, 1.0), (0.80, 1.0)], [(0.40, 1.0), (0.40, 0.0)]]),
}


def added(name: str, data: bpy.types.ID | None) -> bpy.types.Object:
    """A new object of the scene: a mesh, a lamp, a camera, or an empty one without `data`."""
    made = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(made)
    return made


def put(name: str, mesh: Mesh, look: bpy.types.Material, smooth: bool = True) -> bpy.types.Object:
    """Add a mesh with one material to the scene."""
    data = bpy.data.meshes.new(name)
    data.from_pydata([tuple(v) for v in mesh.vertices.tolist()], [], mesh.faces)
    data.materials.append(look)
    if smooth:
        data.shade_smooth()
        data.set_sharp_from_angle(angle=math.radians(38))
    return added(name, data)


def _revolved(profile: list[tuple[float, float]], start: float, end: float, pieces: int) -> Mesh:
    """The surface that the points (radius, z) make when they turn about z.

    Args:
        start, end: angles in degrees; 0 is +x, 90 is away from the camera.
        pieces: how many faces go round.
    """
    rings = np.asarray(profile, float)
    angles = np.radians(np.linspace(start, end, pieces + 1))
    vertices = np.stack(
        [
            np.outer(np.cos(angles), rings[:, 0]),
            np.outer(np.sin(angles), rings[:, 0]),
            np.tile(rings[:, 1], (pieces + 1, 1)),
        ],
        2,
    ).reshape(-1, 3)
    n = len(rings)
    faces = [
        (i * n + j, i * n + j + 1, (i + 1) * n + j + 1, (i + 1) * n + j) for i in range(pieces) for j in range(n - 1)
    ]
    return Mesh(vertices, faces)


def _stroke(points: list[tuple[float, float]], width: float) -> list[Array]:
    """Quads (4, 2) that draw a line of this width through the points, with filled corners."""
    quads = []
    for (ax, az), (bx, bz) in pairwise(points):
        length = math.hypot(bx - ax, bz - az)
        ux, uz = (bx - ax) / length * width / 2, (bz - az) / length * width / 2
        # Each piece is a little longer at both ends: that fills the corners.
        lead = 0.8 if len(points) > 6 else 1.0
        ax, az, bx, bz = ax - ux * lead, az - uz * lead, bx + ux * lead, bz + uz * lead
        steps = max(1, int(length / 0.1))
        for k in range(steps):
            s, e = k / steps, (k + 1) / steps
            p, q = (ax + (bx - ax) * s, az + (bz - az) * s), (ax + (bx - ax) * e, az + (bz - az) * e)
            quads.append(
                np.array(
                    [(p[0] + uz, p[1] - ux), (q[0] + uz, q[1] - ux), (q[0] - uz, q[1] + ux), (p[0] - uz, p[1] + ux)]
                )
            )
    return quads


def _on_wall(quads: list[Array], gap: float, height: float = 0.0) -> Mesh:
    """Flat quads (4, 2), x and z in metres, bent along the curved wall, `gap` before it and `height` above its foot."""
    flat = np.concatenate(quads)
    angle = math.pi / 2 - flat[:, 0] / WALL
    vertices = np.stack([(WALL - gap) * np.cos(angle), (WALL - gap) * np.sin(angle), height + flat[:, 1]], 1)
    return Mesh(vertices, [tuple(range(4 * i, 4 * i + 4)) for i in range(len(quads))])


def lettering() -> list[Mesh]:
    """The word on the curved wall: its thin letters, and its bold ones."""
    groups: tuple[list[Array], list[Array]] = ([], [])
    x = 0.0
    for number, letter in enumerate(WORD):
        bold = number >= BOLD_FROM
        wide, strokes = LETTERS[letter]
        width = 0.185 if bold else 0.075
        for stroke in strokes:
            inset = [(x + width / 2 + px * (wide - width) / wide, width / 2 + pz * (1 - width)) for px, pz in stroke]
            groups[bold].extend(_stroke(inset, width))
        x += wide + 0.46
    middle = (x - 0.46) / 2
    return [_on_wall([(quad - (middle, 0)) * LETTER_HEIGHT for quad in group], 0.03, RIM - 0.02) for group in groups]


def _floor_material(
    name: str, level: float, tint: tuple[float, float, float], dirt: float, rough: float
) -> bpy.types.Material:
    made, nodes = material(name)
    stain = nodes.ramp(nodes.noise(0.9, 4.0), 0.35, 0.75, 0.0, dirt)
    colour = nodes.mix(stain, tuple(level * t for t in tint), tuple(0.55 * level * t for t in (1.0, 0.96, 0.90)))
    nodes.finish(nodes.shader("ShaderNodeBsdfPrincipled", Base_Color=colour, Roughness=rough, Specular_IOR_Level=0.45))
    return made


def _wall_material(spec: CarSpec) -> bpy.types.Material:
    """The white wall; light comes from a slot at its foot."""
    made, nodes = material("wall")
    x, _, z = nodes.axes()
    foot = nodes.ramp(z, RIM - 0.05, RIM + 0.75, 0.42, 0.0)
    uneven = nodes.ramp(nodes.noise(0.5, 1.0), 0.3, 0.7, 0.80, 0.90)
    side = nodes.ramp(x, -5.0, 5.0, -0.02, 0.03)
    level = nodes.math("ADD", nodes.math("ADD", uneven, side), foot)
    warm = 0.012 * spec.warmth
    nodes.finish(nodes.shader("ShaderNodeEmission", Color=(1.0, 0.995 - warm, 0.985 - 2 * warm), Strength=level))
    made.cycles.emission_sampling = "NONE"
    return made


def _ring(name: str, inner: float, outer: float, z: float, look: bpy.types.Material) -> bpy.types.Object:
    return put(name, _revolved([(inner, z), (outer, z)], 0, 360, 128), look, smooth=False)


def build(spec: CarSpec) -> bpy.types.Object:
    """Build the studio for one car; returns the empty object that turns the car and the turntable."""
    pivot = added("pivot", None)
    level = 0.385
    floor = _floor_material("floor", level, (0.985, 0.99, 1.02), 0.10, 0.42)
    table = _floor_material("table", 0.97 * level, (1.0, 0.985, 0.96), 0.45, 0.36)
    line = plain("line", (0.09, 0.088, 0.085), 0.0, 0.7)
    seam = plain("seam", (0.20, 0.195, 0.185), 0.0, 0.6)
    disc = _ring("table", 0.0, TURNTABLE, 0.002, table)
    disc.parent = pivot
    _ring("slot", TURNTABLE, TURNTABLE + 0.012, 0.003, line)
    for number in range(8):
        angle = math.radians(45 * number + 17)
        across = Mesh(
            np.array(
                [(0.3, -0.006, 0.0035), (TURNTABLE, -0.006, 0.0035), (TURNTABLE, 0.006, 0.0035), (0.3, 0.006, 0.0035)]
            ),
            [(0, 1, 2, 3)],
        )
        piece = put(f"seam{number}", across, seam, smooth=False)
        piece.rotation_euler[2] = angle
        piece.parent = pivot
    _stage(spec, floor)
    thin, bold = lettering()
    put("thin", thin, plain("thin", (0.11, 0.105, 0.11), 0.0, 0.6), smooth=False)
    put("bold", bold, plain("bold", (0.075, 0.07, 0.075), 0.0, 0.6), smooth=False)
    _world(spec)
    _camera(spec)
    return pivot


def _stage(spec: CarSpec, floor: bpy.types.Material) -> None:
    """The floor, its curved end, the wall behind it, and the front edge of the stage."""
    centre = 5.5
    radius = centre + spec.stage_edge
    plate = put("floor", _revolved([(0.0, 0.0), (radius, 0.0)], 0, 360, 160), floor, smooth=False)
    plate.location[1] = centre
    trim = _revolved([(radius, 0.004), (radius + 0.10, 0.004), (radius + 0.10, -0.1)], 180, 360, 160)
    put("trim", trim, plain("trim", (0.72, 0.72, 0.70), 0.0, 0.5), smooth=False).location[1] = centre
    ground = {"white": (0.66, 0.65, 0.63), "dark": (0.035, 0.033, 0.03), "wood": (0.34, 0.22, 0.13)}[spec.edge_kind]
    made, nodes = material("ground")
    wear = nodes.ramp(nodes.noise(3.0, 8.0), 0.45, 0.75, 0.0, 0.8)
    colour = nodes.mix(wear, ground, tuple(0.5 * g + 0.03 for g in ground))
    nodes.finish(nodes.shader("ShaderNodeBsdfPrincipled", Base_Color=colour, Roughness=0.6))
    square = Mesh(
        np.array([(-14, -14, -0.02), (14, -14, -0.02), (14, 3, -0.02), (-14, 3, -0.02)], float), [(0, 1, 2, 3)]
    )
    put("ground", square, made, smooth=False)
    cove = [
        (3.35, -0.004),
        (3.6, 0.006),
        (3.9, 0.05),
        (4.15, 0.14),
        (4.35, 0.29),
        (4.48, 0.5),
        (4.52, RIM - 0.03),
        (4.55, RIM),
        (4.70, RIM),
    ]
    put("cove", _revolved(cove, -25, 205, 160), floor)
    put("wall", _revolved([(WALL, 0.3), (WALL, 4.2)], -25, 205, 120), _wall_material(spec))
    door = [(-1.25, 0.2), (-1.25, 2.08), (1.05, 2.08), (1.05, 0.2)]
    quads = [q for a, b in pairwise(door) for q in _stroke([a, b], 0.008)]
    put("door", _on_wall(quads, 0.02), plain("doorline", (0.25, 0.25, 0.25), 0.0, 0.8), smooth=False)


def _world(spec: CarSpec) -> None:
    """The light: bright ceiling panels, a paler horizon, and one large lamp for the soft shadow."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.cycles.sampling_method = "NONE"
    nodes = Nodes(world.node_tree)
    x, y, z = nodes.axes("Generated")
    height = nodes.math("MAXIMUM", z, 0.02)
    across = nodes.math("DIVIDE", y, height)
    along = nodes.math("DIVIDE", x, height)
    panel = nodes.ramp(nodes.math("PINGPONG", nodes.math("ADD", across, 0.25), 0.55), 0.16, 0.24, 1.0, 0.0)
    panel = nodes.math("MULTIPLY", panel, nodes.ramp(nodes.math("ABSOLUTE", along), 1.6, 1.9, 1.0, 0.0))
    panel = nodes.math("MULTIPLY", panel, nodes.ramp(nodes.math("ABSOLUTE", across), 2.2, 2.6, 1.0, 0.0))
    dark_room = nodes.ramp(y, -0.45, 0.35, 0.20, 1.0)  # the hall behind the camera is not lit
    low = nodes.math("MULTIPLY", dark_room, 0.50)
    dome = nodes.blend(nodes.ramp(z, 0.12, 0.55, 0.0, 1.0), low, 0.85)
    strength = nodes.math("ADD", dome, nodes.math("MULTIPLY", panel, 1.7))
    warm = 0.02 * spec.warmth
    background = nodes.shader("ShaderNodeBackground", Color=(1.0, 0.99 - warm, 0.98 - 2 * warm), Strength=strength)
    nodes.plug(nodes.node("ShaderNodeOutputWorld").inputs["Surface"], background)
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.shape, lamp.size, lamp.size_y, lamp.energy = "RECTANGLE", 5.0, 3.5, 95.0
    lit = added("lamp", lamp)
    lit.location = (0.0, 0.3, 4.4)
    lit.visible_glossy = False
    lit.visible_camera = False


def _camera(spec: CarSpec) -> None:
    data = bpy.data.cameras.new("camera")
    data.sensor_width, data.lens = 36.0, 36.0 * spec.camera_focal
    camera = added("camera", data)
    camera.location = (0.0, -spec.camera_distance, spec.camera_height)
    camera.rotation_euler = (math.radians(90.0 - spec.camera_pitch), 0.0, math.radians(spec.camera_pan))
    bpy.context.scene.camera = camera
