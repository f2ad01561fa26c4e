"""Learning curves, confusion matrices, filters, feature maps and profiles; Matplotlib is imported when needed."""

from ._plot import confusion_matrix, feature_maps, filters, learning_curve
from ._profile import profile

__all__ = ["confusion_matrix", "feature_maps", "filters", "learning_curve", "profile"]
