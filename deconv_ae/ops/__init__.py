"""What the layers compute, as functions of tensors."""
