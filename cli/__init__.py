"""The `linops-video` command: one file per subcommand, and `main`, where every error becomes an exit code."""

if __name__ != "linops_video.cli":
    raise ImportError("import linops_video.cli, not cli")

from linops_video.cli.app import main

__all__ = ["main"]
