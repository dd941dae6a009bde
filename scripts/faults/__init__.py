"""The fault injector: runs real programs in their own processes, and disturbs, kills and starves them."""
