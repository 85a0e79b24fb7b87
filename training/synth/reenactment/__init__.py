"""Motion of real clips, performed by other bodies."""
