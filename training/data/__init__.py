"""Windows with their priors: where they come from, how they are mixed, paired, batched and augmented."""
