"""What this computer is and whether its software stack fits together."""
