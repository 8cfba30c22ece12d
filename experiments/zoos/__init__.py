"""Zoos: functions that return the models under test, each with a role."""
