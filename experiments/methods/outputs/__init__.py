"""Methods that compare what models answer."""
