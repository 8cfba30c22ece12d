"""Published figures, recomputed from published data; no model is needed."""
