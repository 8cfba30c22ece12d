"""Estimates with intervals, and rankings, as pure functions of arrays and tables."""
