"""Estimates with intervals, rankings and stopping rules, as pure functions of arrays and tables."""
