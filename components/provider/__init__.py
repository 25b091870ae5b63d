"""What runs in the dynamic provider's own process: starting and awaiting operations, and nothing else."""
