"""What the layers compute, as functions of tensors."""

from deconv_ae.ops.pooling import max_pool_with_argmax
from deconv_ae.ops.switches import argmax_to_switches, switches_to_argmax
from deconv_ae.ops.unpooling import max_unpool

__all__ = ["argmax_to_switches", "max_pool_with_argmax", "max_unpool", "switches_to_argmax"]
