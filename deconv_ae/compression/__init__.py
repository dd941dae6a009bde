"""Pictures as small files, and back: an exported model's code and switches, quantised and entropy coded."""

from deconv_ae.compression.compressor import Compressor
from deconv_ae.compression.learning import learn_probabilities

__all__ = ["Compressor", "learn_probabilities"]
