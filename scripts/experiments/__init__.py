"""Experiments that the package does not need: the published table trained again, and starts compared. See NOTES.md."""
