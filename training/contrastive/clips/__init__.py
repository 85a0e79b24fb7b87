"""Clips to train on: windows of real clips from shards, and pairs by synthetic signers; kept on the device."""
