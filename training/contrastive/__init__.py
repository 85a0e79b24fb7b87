"""Contrastive training for look-ups: clips of the same movement lie together, those of other movements apart."""
