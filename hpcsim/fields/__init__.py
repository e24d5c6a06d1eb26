"""Arrays of the local blocks: registers, their memory, exact sums, digests and random numbers."""
