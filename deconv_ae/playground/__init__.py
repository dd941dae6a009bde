"""A page that shows what an autoencoder keeps of a picture, and changes the code on its way to the decoder."""
