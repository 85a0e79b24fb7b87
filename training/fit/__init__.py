"""What every training run has in common: the loop, processes, rates, files, and what a person sees of it."""
