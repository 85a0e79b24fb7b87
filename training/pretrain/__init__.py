"""SignRep pretraining: an encoder that predicts pose from pixels. `python -m training.pretrain PRESET`."""
