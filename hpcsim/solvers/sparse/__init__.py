"""Structure of sparse matrices, and the storage and order of unknowns that suit it."""
