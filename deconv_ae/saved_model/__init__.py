"""SavedModels: exporting a trained autoencoder with its model card, and serving it from nothing but these files."""
