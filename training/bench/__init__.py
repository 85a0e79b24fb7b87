"""Benchmarks of training: steps, features, rendering."""
