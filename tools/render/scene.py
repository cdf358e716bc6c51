"""One car in the studio: its photos, masks and part labels, drawn by Blender's Cycles."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from . import materials, studio
from .body import Body
from .mesh import Array
from .params import HEIGHT, WIDTH, CarSpec, turntable_rotation, view_angles
from .parts import all_parts
from .zones import zones

MASK_SCALE = 2


def _shell(spec: CarSpec, body: Body) -> bpy.types.Object:
    """The painted shell, with its zones as vertex attributes and its exact normals."""
    vertices, quads, normals = body.mesh()
    data = bpy.data.meshes.new("shell")
    data.from_pydata(vertices.tolist(), [], quads.tolist())
    data.shade_smooth()
    data.normals_split_custom_set_from_vertices(normals.tolist())
    for name, values in zones(body, vertices).items():
        attribute = data.attributes.new(name, "FLOAT", "POINT")
        attribute.data.foreach_set("value", np.ascontiguousarray(values, np.float32))
    data.materials.append(materials.body(spec))
    return studio.added("shell", data)


def _build_car(spec: CarSpec, pivot: bpy.types.Object) -> list[bpy.types.Object]:
    """The car's objects; they are on the turntable and turn with it."""
    body = Body(spec)
    looks = materials.fittings(spec)
    objects = [_shell(spec, body)]
    objects += [studio.put(name, mesh, looks[name]) for name, mesh in all_parts(body).items()]
    for item in objects:
        item.location = (spec.position[0], spec.position[1], 0.0)
        item.parent = pivot
    return objects


def _settings(samples: int, threads: int) -> bpy.types.Scene:
    """Settings of Cycles for few samples and a denoiser."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples, cycles.use_adaptive_sampling = samples, False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_quality, cycles.denoising_prefilter = "FAST", "FAST"
    cycles.use_auto_tile, cycles.use_light_tree = False, False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 2, 8
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 4.0
    cycles.filter_width = 1.2
    scene.render.use_persistent_data = True
    scene.render.threads_mode, scene.render.threads = "FIXED", threads
    scene.render.resolution_percentage = 100
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_depth = "8"
    return scene


def _rendered(scene: bpy.types.Scene, size: tuple[int, int], path: Path) -> Array:
    """The scene as a picture, uint8 (height, width, 4); the file at `path` is only used on the way."""
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"))
    path.unlink()
    return pixels


def _mask_scene(scene: bpy.types.Scene, car: list[bpy.types.Object]) -> None:
    """Make the scene a white car on black: all other objects are hidden, only the car gives light."""
    made, nodes = materials.material("mask")
    nodes.finish(nodes.shader("ShaderNodeEmission", Color=(1.0, 1.0, 1.0), Strength=1.0))
    for item in scene.objects:
        if item.type in ("MESH", "LIGHT"):
            item.hide_render = item not in car
    bpy.context.view_layer.material_override = made
    black = bpy.data.worlds.new("black")
    black.use_nodes = True
    black.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
    scene.world = black
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.view_settings.view_transform, scene.view_settings.exposure = "Raw", 0.0


def _label_scene(scene: bpy.types.Scene, spec: CarSpec, car: list[bpy.types.Object]) -> None:
    """After `_mask_scene`: make it a car in the colours of its parts before nothing, not even black."""
    bpy.context.view_layer.material_override = None
    for item in car:
        item.data.materials[0] = materials.labels(item.name, spec)
    scene.render.film_transparent = True
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.dither_intensity = 0.0


def _smaller(picture: Array) -> Array:
    """The shares (320, 480) or (320, 480, N) of each pixel, from a picture at the scale of masks."""
    k = MASK_SCALE
    return picture.reshape(HEIGHT, k, WIDTH, k, *picture.shape[2:]).mean((1, 3)) / 255.0


def _part_shares(picture: Array) -> Array:
    """The shares (320, 480, 4) of body, glass, wheel and light, from a picture of `_label_scene`."""
    car = picture[..., 3:].astype(float)
    others = picture[..., :3] * (car / 255.0)
    return _smaller(np.concatenate([car - others.sum(-1, keepdims=True), others], -1))


def draw(
    spec: CarSpec, scratch: Path, samples: int, threads: int, views: list[int], photos: bool = True
) -> tuple[list[Array], list[Array], list[Array]]:
    """Draw views of one car; views are counted from 1.

    Returns:
        A photo of each view, uint8 (320, 480, 3); its coverage, float (320, 480): the car's share of each pixel; and
        the shares of its parts, float (320, 480, 4): body, glass, wheel, light. Without `photos` the first two lists
        are empty.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    pivot = studio.build(spec)
    car = _build_car(spec, pivot)
    scene = _settings(samples, threads)
    scene.view_settings.exposure = spec.exposure
    angles = view_angles(spec)
    file = scratch / "frame.png"

    def all_views(size: tuple[int, int]) -> list[Array]:
        pictures = []
        for view in views:
            pivot.rotation_euler[2] = turntable_rotation(angles[view - 1])
            scene.cycles.seed = spec.index * 100 + view
            pictures.append(_rendered(scene, size, file))
        return pictures

    large = (WIDTH * MASK_SCALE, HEIGHT * MASK_SCALE)
    taken = [picture[..., :3] for picture in all_views((WIDTH, HEIGHT))] if photos else []
    _mask_scene(scene, car)
    coverages = [_smaller(picture[..., 0]) for picture in all_views(large)] if photos else []
    _label_scene(scene, spec, car)
    return taken, coverages, [_part_shares(picture) for picture in all_views(large)]
