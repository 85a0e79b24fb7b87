"""What a look-up is, taught as such: the same movement by two people lies together, other movements lie apart."""
