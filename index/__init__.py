"""Vectors of dictionary videos: exact search, snapshots on disk, hits grouped by sign."""
