"""No queries: for methods that look at the models themselves."""

from experiments.interfaces import Offered


def nothing(offered: Offered) -> None:
    """None: no model is shown anything, whatever the pool and the budget."""
