"""SavedModels: export a trained autoencoder with its model card, and serve it from those files alone."""
