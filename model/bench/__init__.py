"""Benchmarks of encoders and of decoding."""
