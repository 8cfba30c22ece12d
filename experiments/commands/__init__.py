"""What every command does at its edges: the door for configurations, mistakes in one line, interrupts, sweeps, bars."""
