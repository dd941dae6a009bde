"""The fault injector: real programs in processes of their own, disturbed, killed and starved."""
