"""Windows with their priors: sources, augmentation, samples, batches."""
