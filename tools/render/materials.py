"""Materials for Blender's Cycles, built from nodes."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from .params import CarSpec

Value = object  # a node's output socket, a number or a colour


class Nodes:
    """Short names for the steps that build a node tree."""

    def __init__(self, tree: bpy.types.NodeTree) -> None:
        self.tree = tree
        tree.nodes.clear()

    def node(self, kind: str, **settings: object) -> bpy.types.Node:
        """A new node with its properties set."""
        node = self.tree.nodes.new(kind)
        for name, value in settings.items():
            setattr(node, name, value)
        return node

    def plug(self, socket: bpy.types.NodeSocket, value: Value) -> None:
        """Connect an output to `socket`, or set the socket's own value; three numbers are an opaque colour."""
        if isinstance(value, bpy.types.NodeSocket):
            self.tree.links.new(value, socket)
        elif isinstance(value, Sequence) and len(value) == 3 and socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def fed(self, node: bpy.types.Node, values: dict[int, Value], output: int = 0) -> bpy.types.NodeSocket:
        """An output of `node` after its inputs, by number, got the values."""
        for number, value in values.items():
            self.plug(node.inputs[number], value)
        return node.outputs[output]

    def math(self, operation: str, *values: Value) -> bpy.types.NodeSocket:
        """A math node's output."""
        return self.fed(self.node("ShaderNodeMath", operation=operation), dict(enumerate(values)))

    def axes(self, kind: str = "Object") -> tuple[bpy.types.NodeSocket, ...]:
        """The coordinates x, y, z of a point: the object's own, or those of another kind."""
        split = self.node("ShaderNodeSeparateXYZ")
        self.plug(split.inputs[0], self.node("ShaderNodeTexCoord").outputs[kind])
        return tuple(split.outputs)

    def attribute(self, name: str) -> bpy.types.NodeSocket:
        """A float attribute of the mesh."""
        return self.node("ShaderNodeAttribute", attribute_name=name).outputs["Fac"]

    def inside(self, name: str) -> bpy.types.NodeSocket:
        """1 inside the zone, where its value is negative, else 0."""
        return self.math("LESS_THAN", self.attribute(name), 0.0)

    def mix(self, share: Value, a: Value, b: Value) -> bpy.types.NodeSocket:
        """Colour a where `share` is 0 and b where it is 1."""
        return self.fed(self.node("ShaderNodeMix", data_type="RGBA"), {0: share, 6: a, 7: b}, output=2)

    def blend(self, share: Value, a: Value, b: Value) -> bpy.types.NodeSocket:
        """Number a where `share` is 0 and b where it is 1."""
        return self.fed(self.node("ShaderNodeMix", data_type="FLOAT"), {0: share, 2: a, 3: b})

    def shader(self, kind: str, **inputs: Value) -> bpy.types.NodeSocket:
        """A shader node's output; names of inputs have an underscore for each space."""
        node = self.node(kind)
        for name, value in inputs.items():
            self.plug(node.inputs[name.replace("_", " ")], value)
        return node.outputs[0]

    def mix_shader(self, share: Value, a: Value, b: Value) -> bpy.types.NodeSocket:
        """Shader a where `share` is 0 and b where it is 1."""
        return self.fed(self.node("ShaderNodeMixShader"), {0: share, 1: a, 2: b})

    def noise(self, scale: float, detail: float = 3.0) -> bpy.types.NodeSocket:
        """Noise in [0, 1] in the object's own coordinates."""
        node = self.node("ShaderNodeTexNoise")
        node.inputs["Scale"].default_value = scale
        node.inputs["Detail"].default_value = detail
        self.plug(node.inputs["Vector"], self.node("ShaderNodeTexCoord").outputs["Object"])
        return node.outputs[0]

    def ramp(self, value: Value, low: float, high: float, at_low: float, at_high: float) -> bpy.types.NodeSocket:
        """A smooth step: `at_low` where `value` is low or less, `at_high` where it is high or more."""
        node = self.node("ShaderNodeMapRange", interpolation_type="SMOOTHSTEP")
        return self.fed(node, dict(enumerate((value, low, high, at_low, at_high))))

    def finish(self, surface: bpy.types.NodeSocket) -> None:
        """Connect `surface` to the material's output."""
        self.plug(self.node("ShaderNodeOutputMaterial").inputs["Surface"], surface)


def material(name: str) -> tuple[bpy.types.Material, Nodes]:
    """A new, empty node material."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    return made, Nodes(made.node_tree)


def plain(
    name: str, colour: Sequence[float], metallic: float, roughness: float, coat: float = 0.0
) -> bpy.types.Material:
    """A uniform material; `colour` is linear RGB."""
    made, nodes = material(name)
    nodes.finish(
        nodes.shader(
            "ShaderNodeBsdfPrincipled",
            Base_Color=colour,
            Metallic=metallic,
            Roughness=roughness,
            Coat_Weight=coat,
            Coat_Roughness=0.03,
        )
    )
    return made


def _gaps(nodes: Nodes) -> bpy.types.NodeSocket:
    """1 on the panel gaps, else 0."""
    total: Value = 0.0
    for number in range(1, 9):
        line = nodes.math("LESS_THAN", nodes.math("ABSOLUTE", nodes.attribute(f"gap{number}")), 0.0045)
        total = nodes.math("MAXIMUM", total, nodes.math("MULTIPLY", line, nodes.inside(f"reach{number}")))
    return total  # type: ignore[return-value]


def _grille(nodes: Nodes, spec: CarSpec) -> bpy.types.NodeSocket:
    """Colour of the grille: dark, with bars."""
    _, y, z = nodes.axes()
    axis = z if spec.index % 3 else y
    wave = nodes.math("SINE", nodes.math("MULTIPLY", axis, 150.0 if spec.index % 2 else 110.0))
    bar = (0.35, 0.35, 0.36) if spec.chrome and spec.index % 4 != 1 else (0.025, 0.025, 0.026)
    return nodes.mix(nodes.math("GREATER_THAN", wave, 0.35), (0.006, 0.006, 0.006), bar)


def _headlamp(nodes: Nodes) -> bpy.types.NodeSocket:
    """Colour of the headlamps: bulbs in bright bowls in a dark housing."""
    bulb = nodes.attribute("bulb")
    bowl = nodes.ramp(bulb, 0.018, 0.030, 0.95, 0.12)
    rim = nodes.ramp(bulb, 0.055, 0.065, 0.0, 1.0)
    housing = nodes.ramp(nodes.noise(11.0, 1.0), 0.35, 0.65, 0.12, 0.60)
    level = nodes.blend(rim, bowl, housing)
    return nodes.mix(level, (0.02, 0.02, 0.022), (0.86, 0.87, 0.90))


def body(spec: CarSpec) -> bpy.types.Material:
    """The shell's material: paint, except in the zones of glass, lamps, grille, black trim, chrome and panel gaps."""
    made, nodes = material("body")
    back = nodes.node("ShaderNodeNewGeometry").outputs["Backfacing"]
    colour: Value = spec.paint
    metallic: Value = spec.metallic
    rough: Value = spec.roughness
    coat: Value = 1.0
    tail = nodes.mix(nodes.math("LESS_THAN", nodes.attribute("bulb"), 0.045), (0.42, 0.006, 0.008), (0.75, 0.70, 0.68))
    layers = [
        (nodes.inside("roof"), (0.006, 0.006, 0.007), 0.0, 0.3, 1.0),
        (_gaps(nodes), (0.004, 0.004, 0.004), 0.0, 0.7, 0.0),
        (nodes.inside("black"), (0.010, 0.010, 0.011), 0.0, 0.42, 0.0),
        (nodes.inside("chrome"), (0.75, 0.75, 0.76), 1.0, 0.12, 0.0),
        (nodes.inside("grille"), _grille(nodes, spec), 0.4, 0.35, 0.0),
        (nodes.inside("tail"), tail, 0.1, 0.25, 1.0),
        (nodes.inside("head"), _headlamp(nodes), 0.3, 0.2, 1.0),
        (back, (0.10, 0.10, 0.10), 0.0, 0.8, 0.0),
    ]
    for share, *layer in layers:
        colour = nodes.mix(share, colour, layer[0])
        metallic, rough, coat = (
            nodes.blend(share, old, new) for old, new in zip((metallic, rough, coat), layer[1:], strict=True)
        )
    # Under a clear coat the paint itself hardly shines, only the coat does.
    shine = nodes.blend(coat, 0.5, 0.1)
    opaque = nodes.shader(
        "ShaderNodeBsdfPrincipled",
        Base_Color=colour,
        Metallic=metallic,
        Roughness=rough,
        Specular_IOR_Level=shine,
        Coat_Weight=coat,
        Coat_Roughness=0.025,
    )
    tint = nodes.attribute("tint")
    shade = nodes.node("ShaderNodeCombineColor")
    for socket, share in zip(shade.inputs, (0.93, 1.0, 0.97), strict=True):
        nodes.plug(socket, nodes.math("MULTIPLY", tint, share))
    clear = nodes.shader("ShaderNodeBsdfTransparent", Color=shade.outputs[0])
    glossy = nodes.shader("ShaderNodeBsdfGlossy", Color=(0.9, 0.92, 0.92), Roughness=0.0)
    glass = nodes.mix_shader(nodes.shader("ShaderNodeFresnel", IOR=1.6), clear, glossy)
    nodes.finish(nodes.mix_shader(nodes.inside("glass"), opaque, glass))
    return made


def _plate() -> bpy.types.Material:
    """A dealer's plate: white, with blue patches."""
    made, nodes = material("plate")
    blotch = nodes.math("GREATER_THAN", nodes.noise(15.0, 0.0), 0.62)
    colour = nodes.mix(blotch, (0.80, 0.81, 0.82), (0.15, 0.38, 0.62))
    nodes.finish(nodes.shader("ShaderNodeBsdfPrincipled", Base_Color=colour, Roughness=0.4))
    return made


def fittings(spec: CarSpec) -> dict[str, bpy.types.Material]:
    """The materials of the parts that `parts.all_parts` makes, by name."""
    return {
        "paint": plain("paint", (0.006,) * 3 if spec.dark_roof else spec.paint, spec.metallic, spec.roughness, 1.0),
        "rubber": plain("rubber", (0.012, 0.012, 0.012), 0.0, 0.75),
        "rim": plain("rim", spec.rim_colour, 0.85, 0.28),
        "chrome": plain("chrome", (0.75, 0.75, 0.76), 1.0, 0.10),
        "rail": plain("rail", (0.5, 0.5, 0.51) if spec.chrome else (0.01, 0.01, 0.01), 0.8, 0.3),
        "black": plain("black", (0.010, 0.010, 0.010), 0.0, 0.45),
        "disc": plain("disc", (0.25, 0.24, 0.23), 0.9, 0.4),
        "mirror": plain("mirror", (0.8, 0.8, 0.8), 1.0, 0.02),
        "seat": plain("seat", spec.seat, 0.0, 0.6),
        "inside": plain("inside", (0.05, 0.05, 0.05), 0.0, 0.6),
        "plate": _plate(),
    }


def _in_wheel(nodes: Nodes, spec: CarSpec) -> bpy.types.NodeSocket:
    """1 where a point is no further from an axle than the tyre is, seen from the side, else 0."""
    x, _, z = nodes.axes()
    along = nodes.math("SUBTRACT", nodes.math("ABSOLUTE", x), spec.wheelbase / 2)
    up = nodes.math("SUBTRACT", z, spec.wheel_radius)
    squares = [nodes.math("MULTIPLY", distance, distance) for distance in (along, up)]
    return nodes.math("LESS_THAN", nodes.math("ADD", *squares), spec.wheel_radius**2)


def labels(name: str, spec: CarSpec) -> bpy.types.Material:
    """Flat colours instead of the looks of the "shell" or of a fitting: red glass, green wheel, blue light, black body.

    The material shines by itself, so the share of a colour in a pixel is the share of that part.
    """
    glass, wheel, light = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    made, nodes = material(f"label {name}")
    colour: Value = wheel if name in ("rubber", "rim", "disc") else (0.0, 0.0, 0.0)
    if name in ("black", "chrome"):  # bolts, callipers and hub caps; and trim, which is body
        colour = nodes.mix(_in_wheel(nodes, spec), colour, wheel)
    if name == "shell":
        for zone, part in (("tail", light), ("head", light), ("glass", glass)):
            colour = nodes.mix(nodes.inside(zone), colour, part)
    nodes.finish(nodes.shader("ShaderNodeEmission", Color=colour, Strength=1.0))
    return made
