"""Methods that compare features of the same samples."""
