"""The published table, trained again: runs, their summary, and what is published of them."""
