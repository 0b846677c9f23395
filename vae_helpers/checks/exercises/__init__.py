"""The exercises, a file for each notebook."""
