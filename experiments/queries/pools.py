"""Whole pools of images, for methods that verify unlearning."""

from experiments.interfaces import NEEDS, Offered, Pools


def pools(offered: Offered) -> Pools:
    """All images that models are to remember and to forget, for methods that verify unlearning.

    Raises:
        ValueError: if they are not offered, or the method's needs do not name them.
    """
    if offered.pools is None:
        raise ValueError(f"this method {NEEDS['pools']}")
    return offered.pools
