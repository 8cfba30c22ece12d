"""The 17 targets of a scene, from the ray caster's exact buffers; operators on images are scikit-image's.

Dense targets are (channels, size, size) at half the image's resolution, global ones (numbers,); all lie within what
half precision holds.
"""

from collections.abc import Callable

import numpy as np

from experiments.testbeds.task_relatedness.rooms import CLASSES, KINDS, ROOM, Array, Buffers, Numbers, Scene, View
from experiments.testbeds.task_relatedness.tasks import TASKS

OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 3), (3, 0), (3, 3), (3, -3))
"""Where segments are compared: rows and columns from each position, at the targets' resolution."""

FINE = 4
"""Pixels of the fine buffers to one of the targets, along a side."""
MARGIN = 6


def targets(view: View) -> dict[str, Array]:
    """Every task's target, in the order of TASKS."""
    makers: dict[str, Callable[[View], Array]] = {
        "autoencoding": lambda view: _pool(view.image, 2),
        "curvature": lambda view: curvature(view.fine),
        "denoising": lambda view: _pool(view.image, 2),
        "edge_texture": edge_texture,
        "edge_occlusion": lambda view: edge_occlusion(view.fine),
        "keypoints2d": keypoints2d,
        "keypoints3d": lambda view: keypoints3d(view.fine),
        "reshading": lambda view: reshading(view.coarse),
        "depth_zbuffer": lambda view: view.coarse.depth[None],
        "depth_euclidean": lambda view: (view.coarse.depth * np.linalg.norm(view.coarse.rays, axis=0))[None],
        "normal": lambda view: view.coarse.normal,
        "room_layout": lambda view: room_layout(view.scene),
        "segment_unsup25d": lambda view: segment_unsup25d(view.coarse),
        "segment_unsup2d": segment_unsup2d,
        "vanishing_point": lambda view: vanishing_point(view.scene),
        "segment_semantic": lambda view: segment_semantic(view.scene, view.fine),
        "class_object": lambda view: class_object(view.scene, view.fine),
    }
    return {task: np.asarray(makers[task](view), np.float32) for task in TASKS}


def curvature(seen: Buffers) -> Array:
    """Normal curvature along rows and along columns, in 1/m and positive where convex, compressed as sign log(1 + |x|).

    It is the turn of the normal over the way between the pixels on either side; where depth jumps in between, 0.
    """
    points = seen.rays * seen.depth

    def along(axis: int) -> Array:
        turn, way = (np.roll(x, -1, axis) - np.roll(x, 1, axis) for x in (seen.normal, points))
        length = (way**2).sum(0)
        near = length < (0.15 * seen.depth) ** 2
        bend = np.where(near & _inner(seen.depth.shape), (turn * way).sum(0) / np.maximum(length, 1e-8), 0)
        return np.sign(bend) * np.log1p(abs(bend))

    return _pool(np.stack([along(2), along(1)]), FINE)


def edge_texture(view: View) -> Array:
    """Sobel gradient of the grey image."""
    from skimage.filters import sobel

    return _pool(sobel(_grey(view))[None], 2)


def edge_occlusion(seen: Buffers) -> Array:
    """Second differences of inverse depth relative to it: large where one thing hides another, zero on every plane."""
    inverse = 1 / seen.depth
    bends = [abs(np.roll(inverse, 1, axis) + np.roll(inverse, -1, axis) - 2 * inverse) for axis in (0, 1)]
    relative = np.where(_inner(inverse.shape), np.maximum(*bends) / inverse, 0)
    return _pool(np.minimum(relative, 1)[None], FINE)


def keypoints2d(view: View) -> Array:
    """Corner response (Shi and Tomasi, 1994) of the grey image, its fourth root."""
    return _pool(_corners(_grey(view)), 2)


def keypoints3d(seen: Buffers) -> Array:
    """The same response of inverse depth after a blur: corners of things and of the room."""
    from skimage.filters import gaussian

    return _pool(_corners(gaussian(_pool(1 / seen.depth[None], 2)[0], 1.2)), FINE // 2)


def reshading(seen: Buffers) -> Array:
    """Lambert's law for a light at the camera, without texture or shadow: the cosine between normal and ray."""
    return -(seen.normal * seen.rays).sum(0, keepdims=True) / np.linalg.norm(seen.rays, axis=0)


def room_layout(scene: Scene) -> Array:
    """The camera's place in the room: distances to front, back, left and right wall, floor and ceiling (m), sine and
    cosine of the turn from the front wall's normal, sine of the pitch. The front is the wall that the camera faces.
    """
    front, left, up, turn = _frame(scene)
    halves, place = scene.things.halves[0], scene.camera.position - scene.things.centres[0]
    ways = [front, -front, left, -left, -up, up]
    distances = [abs(way) @ halves - place @ way for way in ways]
    return np.array([*distances, np.sin(turn), np.cos(turn), scene.camera.axes[2] @ up])


def vanishing_point(scene: Scene) -> Array:
    """Unit directions of the room's front and upward axes in camera coordinates; the third is their product."""
    front, _, up, _ = _frame(scene)
    return np.concatenate([scene.camera.axes @ front, scene.camera.axes @ up])


def segment_unsup2d(view: View) -> Array:
    """Same-segment indicators of graph-based segments of the image (Felzenszwalb and Huttenlocher, 2004)."""
    from skimage.segmentation import felzenszwalb

    return _same(felzenszwalb(view.image.transpose(1, 2, 0), scale=60, sigma=0.6, min_size=16)[::2, ::2])


def segment_unsup25d(seen: Buffers) -> Array:
    """Same-segment indicators of graph-based segments of planes: normals and distances of their planes."""
    from skimage.segmentation import felzenszwalb

    # A plane's offset from the camera is the same all over it, while depth is not.
    offset = (seen.normal * seen.rays * seen.depth).sum(0)
    features = np.stack([*seen.normal[:2], offset], axis=-1)
    return _same(felzenszwalb(features, scale=100, sigma=0, min_size=6))


def segment_semantic(scene: Scene, seen: Buffers) -> Array:
    """Share of each position that each of CLASSES covers; the shares sum to one."""
    kinds = scene.looks.kind[seen.surface]
    return _pool((kinds == np.arange(len(CLASSES))[:, None, None]).astype(np.float32), FINE)


def class_object(scene: Scene, seen: Buffers) -> Array:
    """Share of the visible furniture that belongs to each of KINDS; all zero where none is seen."""
    counts = np.bincount(scene.looks.kind[seen.surface].ravel(), minlength=len(CLASSES))[len(ROOM) :]
    assert len(counts) == len(KINDS)
    return counts / max(counts.sum(), 1)


def _frame(scene: Scene) -> tuple[Array, Array, Array, float]:
    """Unit vectors of the room to the front, left and up, and the camera's turn from the front."""
    forward = scene.camera.axes[2]
    yaw = np.arctan2(forward[1], forward[0])
    quarter = np.round(yaw / (np.pi / 2)) * np.pi / 2
    front = np.array([np.cos(quarter), np.sin(quarter), 0]).round()
    return front, np.array([-front[1], front[0], 0]), np.array([0.0, 0, 1]), yaw - quarter


def _same(segments: Numbers) -> Array:
    """Whether each position and its neighbours at OFFSETS lie in one segment; beyond the border they do."""
    rows, columns = np.indices(segments.shape)
    last = np.array(segments.shape) - 1
    return np.stack(
        [segments == segments[(rows + y).clip(0, last[0]), (columns + x).clip(0, last[1])] for y, x in OFFSETS]
    )


def _corners(image: Array) -> Array:
    """Fourth root of the corner response; the margin keeps the image's own corners from responding."""
    from skimage.feature import corner_shi_tomasi

    response = corner_shi_tomasi(np.pad(image, MARGIN, "edge"), sigma=1)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.maximum(response, 0)[None] ** 0.25


def _grey(view: View) -> Array:
    from skimage.color import rgb2gray

    return rgb2gray(view.image, channel_axis=0)


def _pool(values: Array, factor: int) -> Array:
    """Means over factor x factor blocks of (channels, size, size)."""
    channels, size, _ = values.shape
    return values.reshape(channels, size // factor, factor, size // factor, factor).mean((2, 4))


def _inner(shape: tuple[int, ...]) -> Array:
    """True but on the border, where differences would wrap around."""
    inner = np.zeros(shape, bool)
    inner[1:-1, 1:-1] = True
    return inner
