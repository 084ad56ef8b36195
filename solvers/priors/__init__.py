"""Priors on videos, by their proximal operators: one family a file."""
