"""Experiments that the package does not need: reproducing the published table, and comparing starts. See NOTES.md."""
