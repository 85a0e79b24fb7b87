"""Video, windows, the SignRep encoder and its ONNX file: from video bytes to a clip vector."""

import os

# Since 1.29 ONNX Runtime tells its maker of every process and session, under an identifier that it keeps in the home
# folder. It has to be told not to before it is imported, which only happens below this package.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
