"""What to show to models: which samples of a pool, and paths to them; one file an idea."""
