"""Encoder files on ONNX Runtime: devices, buffers that stay there, metadata."""
