"""Reconstruction solvers, classical and learned."""

if __name__ != "linops_video.solvers":
    raise ImportError("import linops_video.solvers, not solvers")
