"""Benchmarks of search: flat, IVF-PQ, HNSW, Milvus."""
