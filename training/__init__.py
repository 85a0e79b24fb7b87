"""Pretraining, evaluation and the synthetic signer."""
