"""SegNet (arXiv:1511.00561) to copy: VGG16's encoder, and a decoder that puts every maximum back where it was.

    model = segnet(classes=12, weights="imagenet")
    model.compile("adam", "sparse_categorical_crossentropy")

`weights` are those of keras.applications.VGG16: downloaded for "imagenet", random for None.
"""

import keras

from deconv_ae import MaxPoolingWithArgmax2D, MaxUnpooling2D

# Convolutions of the decoder's blocks, outermost last: as many filters as what the encoder's block took.
DECODER_FILTERS = (512, 256, 128, 64, 64)
CONVOLUTIONS = (3, 3, 3, 2, 2)


def segnet(
    classes: int, size: tuple[int, int] = (224, 224), weights: str | None = None, width: float = 1.0
) -> keras.Model:
    """Images of 3 channels to the probabilities of every pixel's class. A width below 1 makes a small one to try."""
    vgg = keras.applications.VGG16(include_top=False, weights=weights, input_shape=(*size, 3))
    x = images = keras.Input((*size, 3))
    poolings = []
    for layer in vgg.layers[1:]:
        if isinstance(layer, keras.layers.MaxPooling2D):
            # Its own pooling, 2x2, that also tells where the maxima were.
            features = x
            x, argmax = MaxPoolingWithArgmax2D(2, padding="same", name=layer.name)(features)
            poolings.append((argmax, features.shape[-1]))
        elif weights is None and width < 1:
            x = keras.layers.Conv2D(max(1, int(layer.filters * width)), 3, padding="same", activation="relu")(x)
        else:
            x = layer(x)
    for filters, convolutions in zip(DECODER_FILTERS, CONVOLUTIONS):
        argmax, channels = poolings.pop()
        # The argmax knows the size to restore.
        x = MaxUnpooling2D(2, padding="same")(x, argmax)
        for number in range(convolutions):
            # The last has the channels of the next unpooling's argmax.
            last = number == convolutions - 1
            kept = poolings[-1][1] if last and poolings else max(1, int(filters * width)) if last else channels
            x = keras.layers.Conv2D(kept, 3, padding="same", use_bias=False)(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Conv2D(classes, 1, activation="softmax")(x), name="segnet")
