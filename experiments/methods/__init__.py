"""Methods: what to show to models, how to represent them, how far apart two representations are; one file an idea."""
