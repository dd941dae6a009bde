"""A SegNet (arXiv:1511.00561) to copy: VGG16's encoder, and a decoder that unpools with the encoder's argmax.

model = segnet(classes=12, weights="imagenet")
model.compile("adam", "sparse_categorical_crossentropy")
"""

import keras

from deconv_ae import MaxPoolingWithArgmax2D, MaxUnpooling2D

# The number of convolutions in each block of the decoder, innermost first. The encoder's block of the same depth has
# as many.
CONVOLUTION_COUNTS = (3, 3, 3, 2, 2)


def segnet(
    classes: int, size: tuple[int, int] = (224, 224), weights: str | None = None, width: float = 1.0
) -> keras.Model:
    """Returns a model from images of 3 channels to the class probabilities of each pixel.

    Args:
        classes: number of classes.
        size: height and width of the images, at least 32 each.
        weights: as in `keras.applications.VGG16`: "imagenet" downloads weights, None starts from random ones.
        width: a value below 1 gives each layer fewer filters, for quick trials. It needs random weights.

    Raises:
        ValueError: if `width` is not in (0, 1], or is below 1 without random weights; if `size` is too small.
    """
    if not 0 < width <= 1 or (width < 1 and weights is not None):
        raise ValueError(f"`width` is {width}; give 1, or for random weights a number in (0, 1)")
    vgg = keras.applications.VGG16(include_top=False, weights=weights, input_shape=(*size, 3))
    x = images = keras.Input((*size, 3))
    poolings = []
    for layer in vgg.layers[1:]:
        if isinstance(layer, keras.layers.MaxPooling2D):
            # VGG16 pools in windows of 2x2; this pooling returns the argmax as well.
            _, *size_before, channels = x.shape
            x, argmax = MaxPoolingWithArgmax2D(2, padding="same", name=layer.name)(x)
            poolings.append((argmax, size_before, channels))
        elif width < 1:
            x = keras.layers.Conv2D(max(1, int(layer.filters * width)), 3, padding="same", activation="relu")(x)
        else:
            x = layer(x)
    for convolution_count in CONVOLUTION_COUNTS:
        argmax, size_before, channels = poolings.pop()
        # With Keras on PyTorch, the argmax does not carry the size before pooling. Without `output_size`, the unpooling
        # would then double the size, which is wrong for odd heights and widths.
        x = MaxUnpooling2D(2, padding="same")(x, argmax, output_size=size_before)
        # Unpooling needs as many channels as its argmax has. So a block's last convolution has as many filters as the
        # next block has channels.
        next_channels = poolings[-1][-1] if poolings else channels
        for filters in [channels] * (convolution_count - 1) + [next_channels]:
            x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Conv2D(classes, 1, activation="softmax")(x), name="segnet")
