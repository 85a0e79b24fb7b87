"""Video, windows, the SignRep encoder and its ONNX file: from video bytes to a clip vector."""

import os

# Since 1.29 ONNX Runtime reports every process and session to its maker, under an identifier that it keeps in the home
# folder. That must be switched off before it is imported, which only happens below this package.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
