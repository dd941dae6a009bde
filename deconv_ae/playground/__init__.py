"""A page on which one sees what an autoencoder keeps of a picture, and spoils it on the way to the decoder."""
