"""Numbers about a state: conserved quantities, norms, and the look for NaN and Inf."""
