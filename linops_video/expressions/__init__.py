"""Operators as text: one registry of names, the parser and its inverse, operators in files."""
