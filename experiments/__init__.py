"""The suite: testbeds, methods, zoos and samples around `modelgif_core`. Read `interfaces.py` first."""
