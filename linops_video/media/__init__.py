"""Video and arrays in files."""
