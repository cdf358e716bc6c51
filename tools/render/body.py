"""The painted shell of a car: its shape as a signed distance, and as a mesh.

The shell is a smooth union of the lower body and the cabin. Each of them is the overlap of its side view and its width,
with rounded edges. Wheel arches and a pickup's bed are cut out.
"""

from __future__ import annotations

import numpy as np

from .mesh import Array, DistanceTable, project, rounded_polygon, smooth_max, smooth_min, surface_net
from .params import CarSpec

STEP = 0.02


def _table(knots: list[float], values: list[float], x: Array) -> Array:
    """Smooth interpolation between knots: linear, then averaged over a short window. `x` has any shape."""
    grid = np.linspace(knots[0], knots[-1], 400)
    line = np.interp(grid, knots, values)
    window = np.hanning(81)
    padded = np.pad(line, 40, mode="edge")
    return np.interp(x, grid, np.convolve(padded, window / window.sum(), mode="valid"))


class Body:
    """Shape of one car's shell, built from its `CarSpec`. Points are in the car's own frame, in metres."""

    def __init__(self, spec: CarSpec) -> None:
        self.spec = spec
        self.half = spec.width / 2
        self.front_axle, self.rear_axle = spec.wheelbase / 2, -spec.wheelbase / 2
        self.front = self.front_axle + spec.front_overhang
        self.rear = self.front - spec.length
        self.arch = spec.wheel_radius + (0.055 if spec.clearance < 0.22 else 0.075)
        self.cowl = (self.front_axle - spec.cowl[0], spec.cowl[1])
        self.screen_top = (self.front_axle - spec.screen_top[0], spec.screen_top[1])
        self.roof_end = (self.rear + spec.roof_end[0], spec.roof_end[1])
        self.rear_base = (self.rear + spec.rear_base[0], spec.rear_base[1])
        self.lower_side = DistanceTable(rounded_polygon(self._lower_outline()))
        self.cabin_side = DistanceTable(rounded_polygon(self._cabin_outline(), rounds=2))

    def _lower_outline(self) -> list[tuple[float, float]]:
        s, front, rear = self.spec, self.front, self.rear
        ground, nose, (cx, cz), (rx, rz) = s.clearance, s.nose, self.cowl, self.rear_base
        middle = 0.5 * (ground + nose)
        tail = min(rear + 0.16, rx - 0.03)
        return [
            (front - 0.55, ground),
            (front - 0.12, ground + 0.01),
            (front - 0.02, ground + 0.10),
            (front, middle - 0.02),
            (front - 0.01, middle + 0.08),
            (front - 0.05, nose - 0.10),
            (front - 0.10, nose - 0.01),
            (front - 0.24, nose + 0.07),
            (0.5 * (front + cx), nose + 0.70 * (cz - nose)),
            (cx + 0.25, cz - 0.03),
            (cx - 0.1, cz),
            (rx + 0.3, rz),
            (rx, rz),
            (tail, s.deck),
            (rear + 0.05, s.deck - 0.04),
            (rear + 0.03, s.deck - 0.20),
            (rear + 0.015, 0.5 * (ground + s.deck) + 0.08),
            (rear, 0.5 * (ground + s.deck)),
            (rear + 0.01, ground + 0.22),
            (rear + 0.09, ground + 0.06),
            (rear + 0.5, ground),
        ]

    def _cabin_outline(self) -> list[tuple[float, float]]:
        (cx, cz), (tx, tz), (ex, ez), (bx, bz) = self.cowl, self.screen_top, self.roof_end, self.rear_base
        height = self.spec.height
        lean = 0.5 * (tx + cx), 0.5 * (tz + cz) + 0.015
        return [
            (cx + 0.10, cz - 0.12),
            lean,
            (tx + 0.05, tz - 0.02),
            (tx - 0.10, tz + 0.45 * (height - tz)),
            (tx - self.spec.peak, height + 0.005),
            (0.5 * (tx - self.spec.peak + ex), 0.5 * (height + ez) + 0.02),
            (ex + 0.08, ez + 0.01),
            (ex - 0.02, ez - 0.03),
            (0.5 * (ex + bx), 0.5 * (ez + bz) + 0.01),
            (bx, bz),
            (bx + 0.02, bz - 0.30),
            (bx + 0.3, bz - 0.45),
            (cx - 0.3, cz - 0.45),
            (cx + 0.12, cz - 0.30),
        ]

    def wheel_distance(self, x: Array, z: Array) -> Array:
        """Distance to the nearer axle in the side view, (N,)."""
        height = self.spec.wheel_radius
        return np.minimum(np.hypot(x - self.front_axle, z - height), np.hypot(x - self.rear_axle, z - height))

    def belt(self, x: Array) -> Array:
        """Height of the window sill at x."""
        (cx, cz), (bx, bz) = self.cowl, self.rear_base
        t = np.clip((cx - x) / (cx - bx), 0, 1)
        return cz + (bz - cz) * t - 0.005

    def _lower_width(self, x: Array, z: Array) -> Array:
        """Half-width of the lower body, (N,)."""
        s = self.spec
        t = (z - s.clearance) / (self.cowl[1] - s.clearance)
        width = _table([-0.3, 0.0, 0.15, 0.45, 0.72, 1.0, 1.4], [0.90, 0.950, 0.978, 1.0, 0.993, 0.955, 0.88], t)
        u = np.clip((x - self.front_axle + 0.2) / s.front_overhang, 0, 1.2)
        v = np.clip((self.rear_axle + 0.2 - x) / (self.rear_axle - self.rear), 0, 1.2)
        width = self.half * width * (1 - 0.075 * u**2.5) * (1 - 0.065 * v**2.5)
        line = 0.70 * self.belt(x) + 0.22 + 0.03 * (self.front_axle - x) / s.wheelbase
        line = np.minimum(line, self.belt(x) - 0.09)
        width = width - 0.22 * 0.02 * np.logaddexp(0, (z - line) / 0.02)
        between = (
            1 / (1 + np.exp(-(self.front_axle - 0.45 - x) / 0.06)) / (1 + np.exp(-(x - self.rear_axle - 0.45) / 0.06))
        )
        width = width - 0.016 * between * np.exp(-(((z - s.clearance - 0.27) / 0.09) ** 2))
        gap = self.wheel_distance(x, z) - self.arch
        return width + (0.030 if s.cladding else 0.018) * np.exp(-((gap / 0.06) ** 2))

    def cabin_width(self, x: Array, z: Array) -> Array:
        """Half-width of the cabin, (N,)."""
        foot = self.half * 0.945
        top = self.half * self.spec.roof_width
        t = np.clip((z - self.cowl[1]) / (self.spec.height - self.cowl[1]), -0.5, 1.2)
        middle = 0.5 * (self.cowl[0] + self.rear_base[0])
        reach = 0.5 * (self.cowl[0] - self.rear_base[0])
        plan = 1 - 0.07 * ((x - middle) / reach) ** 2
        return (foot - (foot - top) * (0.75 * t + 0.25 * t * np.abs(t))) * plan

    def bent(self, points: Array, front: float, rear: float, crown: float) -> tuple[Array, Array]:
        """Coordinates in the side view, (N,) and (N,), for a shape that bulges.

        Args:
            points: (N, 3).
            front, rear: how much the two ends bulge, seen from above.
            crown: how much the top bulges, seen from the front.
        """
        x, y2, z = points[:, 0], points[:, 1] ** 2, points[:, 2]
        share = 1 / (1 + np.exp(-x / 0.25))
        y4 = y2 * y2 / self.half**2
        bulge = (front * share - rear * (1 - share)) * (0.55 * y2 + 0.45 * y4)
        return x + bulge, z + crown * y2

    def distance(self, points: Array) -> Array:
        """Approximate signed distance (N,) of points (N, 3) to the shell, negative inside."""
        x, y, z = points.T
        y = np.abs(y)
        lower = smooth_max(self.lower_side(*self.bent(points, 0.26, 0.17, 0.05)), y - self._lower_width(x, z), 0.10)
        cabin = smooth_max(self.cabin_side(*self.bent(points, 0.16, 0.12, 0.055)), y - self.cabin_width(x, z), 0.09)
        shell = smooth_min(lower, cabin, 0.035)
        arch = np.maximum(self.wheel_distance(x, z) - self.arch, self.half - 0.33 - y)
        shell = smooth_max(shell, -arch, 0.012)
        if self.spec.style == "pickup":
            bed = np.maximum(
                np.abs(x - 0.5 * self._bed[0] - 0.5 * self._bed[1]) - 0.5 * (self._bed[0] - self._bed[1]),
                np.maximum(y - self._lower_width(x, z) + 0.13, self.spec.clearance + 0.5 - z),
            )
            shell = smooth_max(shell, -bed, 0.02)
        return shell

    @property
    def _bed(self) -> tuple[float, float]:
        """x of both ends of a pickup's bed: behind the cab, and at the tailgate."""
        return self.rear_base[0] - 0.06, self.rear + 0.13

    def mesh(self) -> tuple[Array, Array, Array]:
        """Vertices (N, 3), quads (M, 4) and vertex normals (N, 3) of the shell."""
        low = np.array([self.rear - 0.1, -self.half - 0.12, self.spec.clearance - 0.1])
        high = np.array([self.front + 0.1, 0.0, self.spec.height + 0.1])
        counts = np.ceil((high - low) / STEP).astype(int) + 1
        axes = [low[i] + STEP * np.arange(counts[i]) for i in range(3)]
        axes[1] = axes[1] - axes[1][-1]
        low[1] = axes[1][0]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        field = np.concatenate([self.distance(block) for block in np.array_split(grid, 8)]).reshape(counts)
        field = np.concatenate([field, field[:, -2::-1]], axis=1)
        vertices, quads = surface_net(field, low, STEP)
        vertices, normals = project(self.distance, vertices)
        return vertices, quads, normals
