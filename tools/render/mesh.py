"""Meshes with numpy: signed distances, their surfaces as meshes, and the simple solids that fittings are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass
class Mesh:
    """Vertices, float (N, 3) in metres, and faces: tuples of vertex numbers, counter-clockwise seen from outside."""

    vertices: Array
    faces: list[tuple[int, ...]]

    def moved(self, offset: Sequence[float] = (0, 0, 0), turn: Array | None = None) -> Mesh:
        """A copy that is turned by the 3x3 matrix `turn` and then shifted by `offset`."""
        vertices = self.vertices if turn is None else self.vertices @ turn.T
        return Mesh(vertices + np.asarray(offset, float), self.faces)

    def mirrored(self) -> Mesh:
        """A copy reflected in the plane y = 0; its faces are reversed, so they still look outwards."""
        return Mesh(self.vertices * (1, -1, 1), [face[::-1] for face in self.faces])


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """All the meshes as one."""
    vertices, faces, start = [], [], 0
    for mesh in meshes:
        vertices.append(mesh.vertices)
        faces += [tuple(i + start for i in face) for face in mesh.faces]
        start += len(mesh.vertices)
    return Mesh(np.concatenate(vertices), faces)


def rotation(axis: str, angle: float) -> Array:
    """The 3x3 matrix that turns by `angle` radians about the axis "x", "y" or "z"."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array(
        {
            "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def grid_faces(rows: int, columns: int, closed: bool = False) -> list[tuple[int, ...]]:
    """The quads between neighbours in a grid of vertices, numbered row by row.

    Args:
        closed: whether the last column is joined to the first.
    """
    faces = []
    for i in range(rows - 1):
        for j in range(columns if closed else columns - 1):
            k = (j + 1) % columns
            faces.append((i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k))
    return faces


def smooth_max(a: Array, b: Array, radius: float) -> Array:
    """Maximum of two distances; the edge between them is rounded to about `radius`."""
    h = np.maximum(radius - np.abs(a - b), 0.0)
    return np.maximum(a, b) + h * h / (4.0 * radius)


def smooth_min(a: Array, b: Array, radius: float) -> Array:
    """Minimum of two distances; the corner between them is filled to about `radius`."""
    return -smooth_max(-a, -b, radius)


def rounded_polygon(points: Sequence[tuple[float, float]], rounds: int = 3) -> Array:
    """Points (M, 2) of a smooth curve inside a closed polygon, by Chaikin's corner cutting."""
    curve = np.asarray(points, float)
    for _ in range(rounds):
        following = np.roll(curve, -1, axis=0)
        curve = np.stack([0.75 * curve + 0.25 * following, 0.25 * curve + 0.75 * following], 1).reshape(-1, 2)
    return curve


def polygon_distance(polygon: Array, x: Array, z: Array) -> Array:
    """Signed distance, negative inside, of points to a closed polygon (M, 2); x and z have one shape, any shape."""
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, bool)
    for (ax, az), (bx, bz) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        ex, ez = bx - ax, bz - az
        t = np.clip(((x - ax) * ex + (z - az) * ez) / (ex * ex + ez * ez + 1e-12), 0.0, 1.0)
        nearest = np.minimum(nearest, (x - ax - t * ex) ** 2 + (z - az - t * ez) ** 2)
        if az != bz:
            inside ^= ((az > z) != (bz > z)) & (x < ex * (z - az) / ez + ax)
    return np.where(inside, -1.0, 1.0) * np.sqrt(nearest)


class DistanceTable:
    """A polygon's signed distance: computed once on a fine grid, then interpolated (bilinear)."""

    def __init__(self, polygon: Array, step: float = 0.01, margin: float = 0.35) -> None:
        low, high = polygon.min(0) - margin, polygon.max(0) + margin
        self.low, self.step = low, step
        xs = np.arange(low[0], high[0], step)
        zs = np.arange(low[1], high[1], step)
        self.table = polygon_distance(polygon, *np.meshgrid(xs, zs, indexing="ij"))

    def __call__(self, x: Array, z: Array) -> Array:
        u = np.clip((x - self.low[0]) / self.step, 0, self.table.shape[0] - 1.001)
        v = np.clip((z - self.low[1]) / self.step, 0, self.table.shape[1] - 1.001)
        i, j = u.astype(int), v.astype(int)
        u, v = u - i, v - j
        t = self.table
        return (t[i, j] * (1 - u) + t[i + 1, j] * u) * (1 - v) + (t[i, j + 1] * (1 - u) + t[i + 1, j + 1] * u) * v


def surface_net(field: Array, origin: Array, step: float) -> tuple[Array, Array]:
    """The surface field = 0 as a mesh, by naive surface nets.

    Args:
        field: distances on a grid (X, Y, Z), negative inside.
        origin: the place (3,) of the grid's first sample.
        step: metres between neighbours in the grid.

    Returns:
        Vertices (N, 3) and quads (M, 4) that face outwards.
    """
    inside = field < 0
    corners = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
    shape = np.array(field.shape) - 1

    def part(array: Array, corner: tuple[int, int, int]) -> Array:
        return array[tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))]

    count = sum(part(inside, c).astype(np.int8) for c in corners)
    cells = np.argwhere((count > 0) & (count < 8))
    number = np.full(tuple(shape), -1)
    number[tuple(cells.T)] = np.arange(len(cells))
    values = np.stack([field[tuple((cells + c).T)] for c in corners], 1)
    total, crossings = np.zeros((len(cells), 3)), np.zeros(len(cells))
    for a, ca in enumerate(corners):
        for b, cb in enumerate(corners):
            if b > a and sum(abs(p - q) for p, q in zip(ca, cb, strict=True)) == 1:
                va, vb = values[:, a], values[:, b]
                cut = (va < 0) != (vb < 0)
                t = np.where(cut, va / np.where(cut, va - vb, 1.0), 0.0)[:, None]
                total += np.where(cut[:, None], np.array(ca) * (1 - t) + np.array(cb) * t, 0.0)
                crossings += cut
    vertices = origin + (cells + total / crossings[:, None]) * step
    return vertices, _net_faces(inside, number)


def _net_faces(inside: Array, number: Array) -> Array:
    """Quads of a surface net: one around every grid edge with one end inside and the other outside."""
    quads = []
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        ahead = np.roll(inside, -1, axis)
        edges = np.argwhere(inside != ahead)
        limit = np.array(number.shape)
        ok = (edges[:, axis] < limit[axis]) & np.all((edges[:, [u, v]] > 0) & (edges[:, [u, v]] < limit[[u, v]]), 1)
        edges = edges[ok]
        around = []
        for du, dv in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
            cell = edges.copy()
            cell[:, u] += du
            cell[:, v] += dv
            around.append(number[tuple(cell.T)])
        quad = np.stack(around, 1)
        leaving = inside[tuple(edges.T)]
        quads.append(np.where(leaving[:, None], quad, quad[:, ::-1]))
    return np.concatenate(quads)


def project(
    function: Callable[[Array], Array], points: Array, rounds: int = 2, h: float = 0.004
) -> tuple[Array, Array]:
    """Points (N, 3), moved to the surface function = 0, and the unit normals of the surface there."""
    for step in range(rounds + 1):
        gradient = np.stack([(function(points + h * e) - function(points - h * e)) / (2 * h) for e in np.eye(3)], 1)
        length = np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-9
        if step < rounds:
            shift = function(points)[:, None] * gradient / np.maximum(length, 0.3) ** 2
            points = points - np.clip(shift, -0.02, 0.02)
    return points, gradient / length


def rounded_box(size: Sequence[float], radius: float, pieces: int = 4) -> Mesh:
    """A box with rounded edges and its centre at the origin; `size` (3,) is measured from face to face."""
    half = np.asarray(size, float) / 2
    radius = min(radius, half.min())
    line = np.linspace(-1, 1, 2 * pieces)
    vertices, faces = [], []
    for axis in range(3):
        for side in (-1.0, 1.0):
            start = sum(len(block) for block in vertices)
            a, b = np.meshgrid(line, line, indexing="ij")
            block = np.zeros((line.size * line.size, 3))
            block[:, axis] = side
            block[:, (axis + 1) % 3], block[:, (axis + 2) % 3] = a.ravel(), b.ravel()
            vertices.append(block)
            for face in grid_faces(line.size, line.size):
                quad = tuple(start + k for k in face)
                faces.append(quad if side > 0 else quad[::-1])
    cube = np.concatenate(vertices)
    # The grid's last step towards each edge becomes the rounding; all steps before it are the flat side.
    inner = half - radius
    core = np.sign(cube) * inner * np.clip(np.abs(cube) / (1 - 1.0 / pieces), 0, 1)
    direction = cube / np.linalg.norm(cube, axis=1, keepdims=True)
    edge = np.clip((np.abs(cube) - (1 - 1.0 / pieces)) * pieces, 0, 1) * np.sign(cube)
    norm = np.linalg.norm(edge, axis=1, keepdims=True)
    return Mesh(core + radius * np.where(norm > 0, edge / np.maximum(norm, 1e-9), direction), faces)


def lathe(profile: Sequence[tuple[float, float]], pieces: int = 48) -> Mesh:
    """The solid that `profile`, points (radius, y), makes when it turns about the y axis.

    Faces look outwards if y rises along the profile.
    """
    rings = np.asarray(profile, float)
    angles = np.arange(pieces) * 2 * np.pi / pieces
    vertices = np.stack(
        [rings[:, :1] * np.cos(angles), np.repeat(rings[:, 1:], pieces, 1), rings[:, :1] * np.sin(angles)], 2
    ).reshape(-1, 3)
    return Mesh(vertices, grid_faces(len(rings), pieces, closed=True))


def tube(path: Sequence[Sequence[float]], radius: float, pieces: int = 8) -> Mesh:
    """A round tube along the points of `path` (N, 3), open at both ends."""
    points = np.asarray(path, float)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    helper = np.where(np.abs(tangent[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    side = np.cross(tangent, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    angles = np.arange(pieces) * 2 * np.pi / pieces
    ring = side[:, None] * np.cos(angles)[:, None] + up[:, None] * np.sin(angles)[:, None]
    vertices = (points[:, None] + radius * ring).reshape(-1, 3)
    return Mesh(vertices, grid_faces(len(points), pieces, closed=True))
