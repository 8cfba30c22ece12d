"""Searches for settings: what is searched, and the search itself; every trial is made of ordinary runs."""
