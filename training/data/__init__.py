"""The data path: lists of clips, landmarks, priors, shards, windows and batches."""
