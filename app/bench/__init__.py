"""Benchmarks of the service, and a simulation of it under load."""
