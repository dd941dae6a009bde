"""A training run in a process of its own, on several devices or workers, that writes its weights to a file.

train_program.py OUTPUT STRATEGY LOGICAL_DEVICES PRESET TRAINING_IMAGES BATCH_SIZE
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from deconv_ae.data import ImageDataset, Source, load_dataset
from deconv_ae.model.presets import PRESETS
from deconv_ae.training import TrainingOptions, train
from deconv_ae.training.distribution import make_strategy

output, strategy_name, devices, preset, training_images, batch_size = sys.argv[1:]
if int(devices) > 1:
    configuration = [tf.config.LogicalDeviceConfiguration()] * int(devices)
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], configuration)
strategy = make_strategy(strategy_name)
dataset = load_dataset(Source("mnist_5k"))
dataset = ImageDataset(dataset.name, dataset.train[: int(training_images)], dataset.test[:100], source=dataset.source)
options = TrainingOptions(
    PRESETS[preset].architecture, recipe="cntk", epochs=2, batch_size=int(batch_size), strategy=strategy_name
)
history = keras.callbacks.History()
result = train(dataset, options, strategy, callbacks=[history])
rmses = [result.training_rmse, result.test_rmse, *history.history["test_rmse"]]
np.savez(output, *result.model.get_weights(), rmse=rmses)
