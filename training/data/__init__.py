"""What training reads: lists of clips, shards, windows."""
