"""How are any models related? No victim, no truth: every two models, on the same pixels."""
