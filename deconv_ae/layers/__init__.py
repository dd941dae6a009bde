"""The Keras layers: max pooling with argmax, max unpooling, conversions of switches, and convolutions.

Pooling with argmax and unpooling are the pair of layers of "Learning Deconvolution Network for Semantic Segmentation"
(Noh et al., 2015, https://arxiv.org/abs/1505.04366). TensorFlow has an operation for the pooling, but none for the
unpooling (tensorflow/tensorflow issue 2169).
"""

from deconv_ae.layers.banded_convolutions import BandedConv2D, BandedConv2DTranspose
from deconv_ae.layers.max_pooling_with_argmax import (
    MaxPoolingWithArgmax1D,
    MaxPoolingWithArgmax2D,
    MaxPoolingWithArgmax3D,
)
from deconv_ae.layers.max_unpooling import MaxUnpooling1D, MaxUnpooling2D, MaxUnpooling3D
from deconv_ae.layers.switches import ArgmaxToSwitches2D, SwitchesToArgmax2D
from deconv_ae.ops import argmax_to_switches, switches_to_argmax

__all__ = [
    "ArgmaxToSwitches2D",
    "BandedConv2D",
    "BandedConv2DTranspose",
    "MaxPoolingWithArgmax1D",
    "MaxPoolingWithArgmax2D",
    "MaxPoolingWithArgmax3D",
    "MaxUnpooling1D",
    "MaxUnpooling2D",
    "MaxUnpooling3D",
    "SwitchesToArgmax2D",
    "argmax_to_switches",
    "switches_to_argmax",
]
