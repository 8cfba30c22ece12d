"""Whole pools of images, for methods that verify unlearning."""

from experiments.interfaces import Pools, Testbed


def pools(testbed: Testbed) -> Pools:
    """All images that models are to remember and to forget, for methods that verify unlearning.

    Raises:
        ValueError: if the testbed forgets nothing.
    """
    cut = getattr(testbed, "pools", None)
    if cut is None:
        raise ValueError("this method needs pools of images to forget and to retain; take testbed=unlearning")
    return cut()
