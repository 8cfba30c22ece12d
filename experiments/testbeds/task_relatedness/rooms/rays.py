"""Ray casting: what a camera sees of a scene, and its image with one light, shadows and textures."""

import numpy as np
from scipy.ndimage import map_coordinates

from experiments.testbeds.task_relatedness.rooms import (
    ROOM,
    Array,
    Buffers,
    Camera,
    Looks,
    Numbers,
    Scene,
    Things,
    View,
)

NOISE = np.random.default_rng(0).random((16, 16, 16), np.float32)


def show(scene: Scene, size: int) -> View:
    """The scene's image (3, size, size) in steps of 1 / 255, and exact buffers."""
    fine = look(scene.things, scene.camera, 2 * size)
    light = _shade(scene, fine).reshape(3, size, 2, size, 2).mean((2, 4))
    exposed = np.clip(light * (0.25 / light.mean()), 0, 1) ** (1 / 2.2)
    return View(np.round(exposed * 255) / np.float32(255), scene, look(scene.things, scene.camera, size // 2), fine)


def look(things: Things, camera: Camera, pixels: int) -> Buffers:
    """What each pixel's central ray meets."""
    rays = pixel_rays(camera.extent, pixels)
    directions = camera.axes.T @ rays
    depth, thing = cast(things, camera.position[:, None], directions)
    local, normal = _touch(things, thing, camera.position[:, None] + directions * depth)
    surface = np.where(thing > 0, thing + len(ROOM) - 1, np.where(abs(normal[2]) < 0.5, 0, 1 + (normal[2] < 0)))
    square = (-1, pixels, pixels)
    return Buffers(
        rays.reshape(square),
        depth.reshape(square)[0],
        (camera.axes @ normal).reshape(square),
        surface.reshape(square)[0],
        local.reshape(square),
    )


def cast(things: Things, origin: Array, directions: Array) -> tuple[Array, Numbers]:
    """First hits of rays (3, rays) that start inside the room: multiples of their directions, and things' numbers."""
    reach, thing = _slabs(things, 0, origin, directions)[1], np.zeros(directions.shape[1], np.int64)
    squared = (directions * directions).sum(0)
    for number in range(1, len(things.centres)):
        if number < things.boxes:
            near, far = _slabs(things, number, origin, directions)
            hit = (near < far) & (near > 0) & (near < reach)
        else:
            near = _sphere(things, number, origin, directions, squared)
            hit = (near > 0) & (near < reach)
        reach = np.where(hit, near, reach)
        thing[hit] = number
    return reach, thing


def _slabs(things: Things, number: int, origin: Array, directions: Array) -> tuple[Array, Array]:
    """Where rays enter and leave a box (Kay and Kajiya, 1986)."""
    turn = things.turns[number]
    start = turned(origin - things.centres[number][:, None], turn)
    inverse = 1 / (turned(directions, turn) + np.float32(1e-9))  # a ray along a face has a component of zero
    middle, reach = -start * inverse, things.halves[number][:, None] * abs(inverse)
    return (middle - reach).max(0), (middle + reach).min(0)


def _sphere(things: Things, number: int, origin: Array, directions: Array, squared: Array) -> Array:
    """Where rays enter a sphere; not a number where they miss it."""
    start = origin - things.centres[number][:, None]
    along = (start * directions).sum(0)
    with np.errstate(invalid="ignore"):
        root = np.sqrt(along**2 - squared * ((start**2).sum(0) - things.halves[number, 0] ** 2))
    return -(along + root) / squared


def turned(vectors: Array, turn: Array) -> Array:
    """Vectors (3, n) in coordinates of a thing whose turn is (2,) or (2, n)."""
    cosine, sine = turn
    return np.stack([cosine * vectors[0] + sine * vectors[1], cosine * vectors[1] - sine * vectors[0], vectors[2]])


def _touch(things: Things, thing: Numbers, points: Array) -> tuple[Array, Array]:
    """Local coordinates of world points on things, and the outward normals, which point inwards for the room."""
    turn = things.turns[thing].T
    local = turned(points - things.centres[thing].T, turn)
    relative = local / things.halves[thing].T
    face = abs(relative).argmax(0) == np.arange(3)[:, None]
    normal = np.where(thing < things.boxes, np.sign(relative) * face, relative)
    return local, turned(np.where(thing > 0, normal, -normal), turn * np.float32([[1], [-1]]))


def pixel_rays(extent: float, pixels: int) -> Array:
    """Directions (3, pixels ** 2) through the centres of pixels, row by row, in camera coordinates with z = 1."""
    steps = np.linspace(-1, 1, 2 * pixels + 1, dtype=np.float32)[1::2] * np.float32(extent)
    right, down = np.meshgrid(steps, steps)
    return np.stack([right.ravel(), down.ravel(), np.ones(pixels**2, np.float32)])


def _shade(scene: Scene, seen: Buffers) -> Array:
    """Linear light (3, pixels ** 2): Lambert's law under a point light with shadows, ambient and glow."""
    camera, surface = scene.camera, seen.surface.ravel()
    points = camera.position[:, None] + camera.axes.T @ (seen.rays * seen.depth).reshape(3, -1)
    normal = camera.axes.T @ seen.normal.reshape(3, -1)
    away = points - scene.light[:, None]
    squared = (away**2).sum(0)
    cosine = np.maximum(-(normal * away).sum(0) / np.sqrt(squared), 0)
    lit = cast(scene.things, scene.light[:, None], away)[0] > 0.997
    sky = scene.ambient * (1 + 0.3 * normal[2] + 0.15 * normal[0])
    glow = scene.looks.glow[surface]
    return _albedo(scene.looks, surface, seen.local.reshape(3, -1)) * (sky + cosine * lit / (1 + squared / 9) + glow)


def _albedo(looks: Looks, surface: Numbers, local: Array) -> Array:
    """Colours (3, points) of solid textures: plain, checker, stripes or noise."""
    place = local / looks.period[surface] + looks.phase[surface].T
    cells = np.floor(place).astype(np.int64).sum(0) % 2
    stripes = np.floor((place * looks.stripes[surface].T).sum(0)) % 2
    noise = map_coordinates(NOISE, 4 * place, order=1, mode="grid-wrap")
    mixture = np.choose(looks.pattern[surface], [np.zeros_like(noise), cells, stripes, noise])
    first, second = looks.colours[surface].transpose(1, 2, 0)
    return first + (second - first) * mixture
