"""Pictures, figures and tables for people, from exported models."""
