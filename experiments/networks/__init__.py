"""Networks, and what can be asked of any of them."""
