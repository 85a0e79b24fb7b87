"""Measurements of the synthetic signer: are signs distinct, is re-enactment faithful, what does a detector find?"""
