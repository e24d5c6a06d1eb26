"""Starting ranks: on this machine now, and again when one is lost."""
