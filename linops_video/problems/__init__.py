"""Measurements: forward models, measured data and their noise, what one wants to know of an operator."""
