"""How a model comes about."""
