"""Shards: tar files of short clips with their poses; written once, read in any order."""
