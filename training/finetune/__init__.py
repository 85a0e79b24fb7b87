"""Recognition: an encoder fine-tuned to name the sign of a clip."""
