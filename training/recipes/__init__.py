"""Runs that span several commands: the encoder that ships, the ablation, the comparisons in docs/benchmarks."""
