"""Furnished rooms drawn at random."""

from typing import NamedTuple

import numpy as np

from experiments.testbeds.task_relatedness.rooms import (
    CLASSES,
    KINDS,
    MOST_BOXES,
    MOST_SPHERES,
    ROOM,
    Array,
    Camera,
    Kind,
    Looks,
    Scene,
    Things,
)
from experiments.testbeds.task_relatedness.rooms.rays import cast, pixel_rays

BAG = [*list(KINDS)[:-1], "chair", "chair", "ball", "ball", "picture", "cabinet", "sofa", "bed", "table", "lamp"]
"""What is drawn from without replacement; a window comes first."""
VIEWS = 12
OBLIQUE = np.radians(40)
"""The camera turns no further from the nearest wall's normal, so that `front` is well defined."""


class Piece(NamedTuple):
    """A placed piece of furniture: its class, size, the middle of its underside, turn, and low and high corners."""

    name: str
    size: Array
    foot: Array
    turn: Array
    span: Array


def draw(seed: int, index: int) -> Scene:
    """Scene `index` of a seed; it depends on nothing else, so that any number can be drawn, anywhere."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    room = rng.uniform((3.2, 3.2, 2.4), (6.5, 6.5, 3.1))
    pieces = _furnish(room, rng)
    things, kinds = _assemble(room, pieces)
    camera = _camera(room, things, pieces, rng)
    return Scene(things, _looks(kinds, rng), camera, _light(room, pieces, rng), rng.uniform(0.15, 0.35))


def _furnish(room: Array, rng: np.random.Generator) -> list[Piece]:
    pieces: list[Piece] = []
    for name in ["window", *rng.permutation(BAG)[: rng.integers(6, 13)].tolist()]:
        kinds = [KINDS[piece.name] for piece in pieces] + [KINDS[name]]
        fits = sum(len(kind.boxes) for kind in kinds) <= MOST_BOXES
        if fits and sum(len(kind.spheres) for kind in kinds) <= MOST_SPHERES:
            pieces += _place(name, KINDS[name], room, pieces, rng)
    return pieces


def _place(name: str, kind: Kind, room: Array, others: list[Piece], rng: np.random.Generator) -> list[Piece]:
    """The piece where it touches no other, or nothing if no place was found."""
    for _ in range(12):
        size = rng.uniform(kind.smallest, kind.largest)
        angle = rng.integers(4) * np.pi / 2 if kind.at_wall else rng.uniform(0, 2 * np.pi)
        cosine, sine = turn = np.array([np.cos(angle), np.sin(angle)])
        half = abs(np.array([[cosine, sine], [sine, cosine]])) @ size[:2] / 2
        if (2 * half > room[:2]).any():
            continue
        middle = rng.uniform(half, room[:2] - half)
        back = np.array([sine, -cosine])
        if kind.at_wall:
            middle = np.where(abs(back) < 0.5, middle, np.where(back > 0, room[:2] - half, half))
        foot = np.array([*middle, rng.uniform(*kind.lift)])
        span = np.array([[*(middle - half), foot[2]], [*(middle + half), foot[2] + size[2]]])
        gap = 0.04
        if not any((span[0] < other.span[1] + gap).all() and (other.span[0] - gap < span[1]).all() for other in others):
            return [Piece(name, size, foot, turn, span)]
    return []


def _assemble(room: Array, pieces: list[Piece]) -> tuple[Things, list[int]]:
    """Things, and the classes of walls, floor, ceiling and of all things but the room."""
    rows = [(*room / 2, *room / 2, 1, 0)]
    kinds = [0, 1, 2]
    for piece in pieces:
        for low, high in np.array(KINDS[piece.name].boxes):
            x, y, z = (low + high) / 2 * piece.size
            cosine, sine = piece.turn
            centre = piece.foot + np.array([cosine * x - sine * y, sine * x + cosine * y, z])
            rows.append((*centre, *(high - low) / 2 * piece.size, cosine, sine))
            kinds.append(CLASSES.index(piece.name))
    boxes = len(rows)
    for piece in pieces:
        for height, radius in KINDS[piece.name].spheres:
            rows.append((*piece.foot[:2], height * piece.size[2], *[radius * piece.size[0]] * 3, 1, 0))
            kinds.append(CLASSES.index(piece.name))
    table = np.array(rows, np.float32)
    return Things(table[:, :3], table[:, 3:6], table[:, 6:], boxes), kinds


def _camera(room: Array, things: Things, pieces: list[Piece], rng: np.random.Generator) -> Camera:
    """Of some random views from free places towards furniture, one that shows many things, and none too near."""
    extent = np.tan(np.radians(rng.uniform(50, 78)) / 2)
    spans = np.array([piece.span for piece in pieces])
    best, most = None, -np.inf
    for _ in range(VIEWS):
        position = rng.uniform((0.25, 0.25, 1.0), (room[0] - 0.25, room[1] - 0.25, 1.75))
        aim = spans[rng.integers(len(spans))].mean(0) + rng.normal(0, 0.25, 3) - position
        yaw, pitch = np.arctan2(aim[1], aim[0]), np.clip(np.arctan2(aim[2], np.hypot(*aim[:2])), -0.55, 0.1)
        camera = Camera(position.astype(np.float32), _axes(yaw, pitch), extent)
        inside = ((spans[:, 0] - 0.3 < position) & (position < spans[:, 1] + 0.3)).all(1).any()
        oblique = abs((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4) > OBLIQUE
        score = _interest(things, camera) - 100 * inside - 50 * oblique
        if score > most:
            best, most = camera, score
    assert best is not None
    return best


def _interest(things: Things, camera: Camera) -> float:
    depth, thing = cast(things, camera.position[:, None], camera.axes.T @ pixel_rays(camera.extent, 10))
    counts = np.bincount(thing, minlength=len(things.centres))[1:]
    return (counts > 1).sum() - 10 * (depth.min() < 0.7) - 10 * (counts.max() > 45) - 10 * (np.median(depth) < 1.5)


def _axes(yaw: float, pitch: float) -> Array:
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0])
    return np.stack([right, np.cross(forward, right), forward]).astype(np.float32)


def _light(room: Array, pieces: list[Piece], rng: np.random.Generator) -> Array:
    """Below the ceiling, or half a metre in front of the window."""
    hanging = np.array([*rng.uniform(0.3, 0.7, 2) * room[:2], room[2] - 0.25])
    (window,) = [piece for piece in pieces if piece.name == "window"]
    inward = np.array([-window.turn[1], window.turn[0], 0])
    before = window.span.mean(0) + 0.5 * inward
    return (hanging if rng.random() < 0.5 else before).astype(np.float32)


def _looks(kinds: list[int], rng: np.random.Generator) -> Looks:
    count = len(kinds)
    glow = [0.0] * len(ROOM) + [KINDS[CLASSES[kind]].glow for kind in kinds[len(ROOM) :]]
    return Looks(
        np.array(kinds),
        rng.integers(4, size=count),
        rng.uniform(0.2, 0.8, count).astype(np.float32),
        rng.random((count, 3), np.float32),
        rng.permuted(np.tile(np.float32([1, 0, 0]), (count, 1)), axis=1) + 0,
        rng.uniform(0.15, 0.9, (count, 2, 3)).astype(np.float32),
        np.array(glow, np.float32),
    )
