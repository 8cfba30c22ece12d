"""How fast, how large: measurements of this machine, not tests."""
