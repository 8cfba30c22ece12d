"""Procedural rooms: what they are made of. `scene` draws and shows them, `targets` measures the 17 Taskonomy tasks.

World coordinates are metres, x and y along the walls, z up. Camera coordinates are x right, y down, z forward (Hartley
and Zisserman, 2004, section 6.1). A room is a box seen from inside; what stands in it are boxes, turned about the
vertical, and spheres.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Numbers = NDArray[np.integer[Any]]
Triple = tuple[float, float, float]


class Kind(NamedTuple):
    """A semantic class of furniture: proportions and place; looks are drawn alike for all classes."""

    smallest: Triple
    """Width, depth and height in metres, as seen from the front."""
    largest: Triple
    boxes: tuple[tuple[Triple, Triple], ...] = ()
    """Low and high corners relative to the size: x and y from -1/2 to 1/2 with the back at y = -1/2, z from 0 to 1."""
    spheres: tuple[tuple[float, float], ...] = ()
    """Height of the centre relative to the height, and radius relative to the width."""
    at_wall: bool = False
    lift: tuple[float, float] = (0, 0)
    """Range of the underside's height above the floor."""
    glow: float = 0


SEAT = ((-0.5, -0.5, 0), (0.5, 0.5, 0.5))
WHOLE = ((-0.5, -0.5, 0), (0.5, 0.5, 1))
KINDS = {
    "bed": Kind((1.0, 1.9, 0.8), (1.8, 2.2, 1.1), (SEAT, ((-0.5, -0.5, 0.5), (0.5, -0.44, 1))), at_wall=True),
    "table": Kind(
        (0.9, 0.7, 0.65), (1.8, 1.1, 0.8), (((-0.5, -0.5, 0.9), (0.5, 0.5, 1)), ((-0.3, -0.12, 0), (0.3, 0.12, 0.9)))
    ),
    "sofa": Kind((1.5, 0.8, 0.75), (2.4, 1.0, 0.95), (SEAT, ((-0.5, -0.5, 0.5), (0.5, -0.2, 1))), at_wall=True),
    "chair": Kind(
        (0.45, 0.45, 0.85),
        (0.6, 0.6, 1.1),
        (((-0.5, -0.38, 0.42), (0.5, 0.5, 0.52)), ((-0.5, -0.5, 0), (0.5, -0.38, 1))),
    ),
    "cabinet": Kind((0.6, 0.35, 1.3), (1.4, 0.6, 2.1), (WHOLE,), at_wall=True),
    "lamp": Kind(
        (0.35, 0.35, 1.3), (0.5, 0.5, 1.8), (((-0.08, -0.08, 0), (0.08, 0.08, 0.9)),), ((0.88, 0.5),), glow=0.4
    ),
    "ball": Kind((0.3, 0.3, 0.3), (0.7, 0.7, 0.7), (), ((0.5, 0.5),)),
    "picture": Kind((0.5, 0.03, 0.4), (1.4, 0.05, 0.9), (WHOLE,), at_wall=True, lift=(1.2, 1.4)),
    "window": Kind((0.8, 0.03, 0.8), (1.8, 0.04, 1.2), (WHOLE,), at_wall=True, lift=(0.8, 1.0), glow=1.0),
}
ROOM = ("wall", "floor", "ceiling")
CLASSES = (*ROOM, *KINDS)
"""Semantic classes, in the order of their channels."""
MOST_BOXES, MOST_SPHERES = 9, 3


class Things(NamedTuple):
    """Shapes by number: first boxes, of which number 0 is the room itself, then spheres."""

    centres: Array
    """(things, 3)."""
    halves: Array
    """Half of each box's sizes, or a sphere's radius three times: (things, 3)."""
    turns: Array
    """Cosine and sine of the turn about the vertical: (things, 2)."""
    boxes: int


class Looks(NamedTuple):
    """Appearance of walls, floor, ceiling and each thing of the room, in this order: the first axis counts them."""

    kind: Numbers
    """Position in CLASSES."""
    pattern: Numbers
    period: Array
    phase: Array
    stripes: Array
    colours: Array
    """Two of them: (looks, 2, 3)."""
    glow: Array


class Camera(NamedTuple):
    """A pinhole: position (3,), its axes right, down and forward as rows, the tangent of half the field of view."""

    position: Array
    axes: Array
    extent: float


class Scene(NamedTuple):
    """All that an image depends on."""

    things: Things
    looks: Looks
    camera: Camera
    light: Array
    ambient: float


class Buffers(NamedTuple):
    """What the rays through the centres of (pixels, pixels) see; vectors in camera coordinates."""

    rays: Array
    """Directions (3, pixels, pixels) with z = 1."""
    depth: Array
    """Along the optical axis."""
    normal: Array
    """Unit normals (3, pixels, pixels) towards the camera."""
    surface: Numbers
    """Number of the look."""
    local: Array
    """Where on the thing, in its own coordinates: (3, pixels, pixels)."""


class View(NamedTuple):
    """An image (3, size, size) of a scene, and what targets are made from at 1/2 and at 2 times its resolution."""

    image: Array
    scene: Scene
    coarse: Buffers
    fine: Buffers
