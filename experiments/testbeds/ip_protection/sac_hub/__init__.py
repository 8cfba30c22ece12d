"""The published zoo of SAC's bench: who is in it, where the files lie, and how they are read."""
