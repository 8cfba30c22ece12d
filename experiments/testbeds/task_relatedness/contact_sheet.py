"""One look at the rooms and their 17 targets.

python -m experiments.testbeds.task_relatedness.contact_sheet [first scene]
"""

import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from experiments.storage.files import write
from experiments.testbeds.task_relatedness.rooms import CLASSES, KINDS, ROOM, Array, View, rays, scene, targets
from experiments.testbeds.task_relatedness.rooms.samples import PIXELS

SCENES, COLUMNS = 4, 9
LAYOUT = ("front", "back", "left", "right", "floor", "ceiling", "sin turn", "cos turn", "sin pitch")
COLOURS = np.array([hsv_to_rgb((i * 0.618 % 1, 0.55, 0.9 - 0.2 * (i % 3))) for i in range(len(CLASSES))])


def sheet(first: int, *, seed: int = 0) -> Figure:
    """Image and targets of consecutive scenes, two rows of small pictures for each."""
    figure = Figure(figsize=(1.5 * COLUMNS, 3.4 * SCENES), layout="constrained")
    grid = figure.subplots(2 * SCENES, COLUMNS)
    for row in range(SCENES):
        view = rays.show(scene.draw(seed, first + row), PIXELS)
        cells = iter(grid[2 * row : 2 * row + 2].flat)
        _image(next(cells), view.image, "image")
        for task, target in targets.targets(view).items():
            _draw(next(cells), view, task, target)
    return figure


def _draw(axes: Axes, view: View, task: str, target: Array) -> None:
    title = task.replace("_", " ")
    if task == "room_layout":
        _bars(axes, target, LAYOUT, title)
    elif task == "class_object":
        _bars(axes, target, tuple(KINDS), title)
    elif task == "vanishing_point":
        _directions(axes, view, target, title)
    elif task == "segment_semantic":
        _image(axes, np.tensordot(COLOURS.T, target, 1), title)
    elif task == "normal":
        _image(axes, (target * np.array([1, -1, -1])[:, None, None] + 1) / 2, title)
    elif len(target) == 3:
        _image(axes, target, title)
    elif task.startswith("segment"):
        _image(axes, 1 - target.mean(0, keepdims=True), title.replace("segment unsup", "borders "))
    else:
        _image(axes, target[:1], title)


def _image(axes: Axes, values: Array, title: str) -> None:
    shown = values[0] if len(values) == 1 else values.transpose(1, 2, 0).clip(0, 1)
    axes.imshow(shown, cmap="viridis")
    axes.set_title(title, fontsize="x-small")
    axes.set_axis_off()


def _bars(axes: Axes, values: Array, names: tuple[str, ...], title: str) -> None:
    axes.barh(range(len(values)), values, color=COLOURS[len(ROOM) :][: len(values)])
    axes.set_yticks(range(len(values)), labels=names, fontsize=5)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize="x-small")


def _directions(axes: Axes, view: View, target: Array, title: str) -> None:
    """The room's front, right and upward directions as arrows over the image, from its centre."""
    _image(axes, view.image, title)
    front, up = target[:3], target[3:]
    for direction, colour in zip((front, np.cross(front, up), up), ("red", "lime", "deepskyblue"), strict=True):
        end = PIXELS / 2 * (1 + 0.8 * direction[:2])
        axes.annotate(
            "", end, (PIXELS / 2, PIXELS / 2), arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.5}
        )


def main(arguments: list[str]) -> None:
    """Write results/figures/rooms_contact_sheet.png."""
    content = io.BytesIO()
    sheet(int(arguments[0]) if arguments else 0).savefig(content, dpi=110, format="png", metadata={"Software": None})
    file = Path("results/figures/rooms_contact_sheet.png")
    write(file, content.getvalue())
    print(file)


if __name__ == "__main__":
    main(sys.argv[1:])
