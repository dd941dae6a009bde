"""The autoencoder: its architecture as data, the Keras model, its objective, and how to train it."""
