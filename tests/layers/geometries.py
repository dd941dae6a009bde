"""Windows of every kind, images with ties, and a function that runs both layers."""

import numpy as np

from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling2D

# (height, width), pool_size, strides, padding
GEOMETRIES = {
    "one window": ((2, 2), (2, 2), (2, 2), "valid"),
    "the size is a multiple of the stride": ((8, 6), (2, 2), (2, 2), "valid"),
    "rows and columns are left over": ((9, 7), (2, 3), (2, 3), "valid"),
    "windows overlap": ((9, 8), (3, 3), (2, 2), "valid"),
    "windows overlap along one axis": ((9, 8), (3, 2), (1, 2), "valid"),
    "stride one": ((6, 5), (3, 4), (1, 1), "valid"),
    "the stride leaves positions out": ((11, 13), (2, 3), (4, 5), "valid"),
    "same, not cut": ((8, 6), (2, 2), (2, 2), "same"),
    "same, windows cut at the end": ((7, 5), (2, 2), (2, 2), "same"),
    "same, windows cut at both ends": ((7, 9), (5, 4), (2, 3), "same"),
    "same, a window larger than the image": ((2, 3), (5, 5), (2, 2), "same"),
    "same, an image smaller than the stride": ((2, 2), (2, 2), (5, 4), "same"),
    "same, the stride leaves positions out": ((9, 10), (2, 1), (4, 3), "same"),
    # 24 windows share a position, too many for ops/tensorflow.py to compare. A segment maximum finds the last window.
    "a large window": ((17, 18), (16, 16), (3, 4), "same"),
}


def random_images(shape, seed=0):
    """Images of few different values, with ties in many windows."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype("float32")


def pool_and_unpool(geometry):
    """Returns a function from images to the maxima, the argmax and the restored images."""
    _, *arguments = geometry
    pooling, unpooling = MaxPoolingWithArgmax2D(*arguments), MaxUnpooling2D(*arguments)

    def run(images):
        pooled, argmax = pooling(images)
        return pooled, argmax, unpooling(pooled, argmax, like=images)

    return run
