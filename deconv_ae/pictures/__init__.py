"""Pictures, figures and text drawn from exported models."""
