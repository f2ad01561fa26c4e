"""Files: safetensors, and writing so that a failure leaves the previous file whole."""

from ._files import write_aside
from ._safetensors import load_safetensors, save_safetensors

__all__ = ["load_safetensors", "save_safetensors", "write_aside"]
