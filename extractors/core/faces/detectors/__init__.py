"""Face detectors: one module per detector that defines one subclass of `Detector`.

In: one upright frame. Out: a box and a confidence per face. Read `libfacedetection.py` first, the default.
A detector never imports another one, and knows nothing of tracks or of the clip.
"""

from extractors.core.faces.detector import DETECTORS, Detect, Detection, Detector, detector_weights

__all__ = ["DETECTORS", "Detect", "Detection", "Detector", "detector_weights"]
