"""Learning curves, confusion matrices, filters and feature maps; Matplotlib is imported when needed."""

from ._plot import confusion_matrix, feature_maps, filters, learning_curve

__all__ = ["confusion_matrix", "feature_maps", "filters", "learning_curve"]
