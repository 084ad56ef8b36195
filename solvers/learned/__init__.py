"""Learned solvers: ADMM unrolled, with networks for the prior and for a correction of the data step."""
