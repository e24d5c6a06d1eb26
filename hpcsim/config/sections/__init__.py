"""One file per section of the configuration; each key is declared there and nowhere else."""
