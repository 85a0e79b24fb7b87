"""Video, windows, the SignRep encoder and its ONNX file: from video bytes to a clip vector."""
