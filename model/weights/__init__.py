"""Published weights on one's own disk: downloaded, verified, converted."""
