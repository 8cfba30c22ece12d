"""Samples: functions that return the inputs that queries may be drawn from."""
