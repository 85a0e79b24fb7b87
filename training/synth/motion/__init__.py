"""Motion of signs: feasibility, timing, style, hand placement, performance."""
