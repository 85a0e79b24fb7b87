"""From features to sentences: a small translation model on frozen features, and made-up sentences to prove it on."""
