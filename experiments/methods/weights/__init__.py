"""Controls that compare weights: what whoever holds both models could know without asking them anything."""
