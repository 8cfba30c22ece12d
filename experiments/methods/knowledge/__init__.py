"""Methods that ask what a model still knows of images that it should have forgotten."""
