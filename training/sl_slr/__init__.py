"""Self-supervised representations of signs from skeletons (SL-SLR, arXiv 2509.05188), and what they compare to."""
