"""Queries that are made to tell copies from strangers, with the source and perhaps with models of its owner."""
