"""A section of a page."""

import pandas as pd


def section(explanation: str, table: pd.DataFrame) -> str:
    """A paragraph and the table beneath it."""
    return f"{explanation}\n\n{table.to_markdown(disable_numparse=True)}"
