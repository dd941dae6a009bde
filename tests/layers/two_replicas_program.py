"""Trains the small autoencoder on two devices and on one. Exits with status 0 if the losses are equal."""

import numpy as np
import tensorflow as tf
from small_autoencoder import losses_of_training, small_autoencoder

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    model = small_autoencoder()
losses_on_two_devices = losses_of_training(model)
np.testing.assert_allclose(losses_on_two_devices, losses_of_training(small_autoencoder()), atol=1e-4)
