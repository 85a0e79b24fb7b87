"""Rendered clips: one source of clips, and dictionaries, shards, streams, sheets and the demo made of it."""
