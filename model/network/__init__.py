"""The network in torch, its checkpoints and its export to ONNX. Nothing else in this package imports torch."""
