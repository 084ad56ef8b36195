"""The `linops-video` command: one file per subcommand, and `main`, where every error becomes an exit code."""

if __name__ != "linops_video.cli":
    raise ImportError("import linops_video.cli, not cli")

import os

# Tensors of some MB in pages of 2 MB where Linux offers them: otherwise much of the time on large frames goes into
# pages of 4 kB. PyTorch reads it when the first tensor is made, so it stands before the imports below.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from linops_video.cli.app import main

__all__ = ["main"]
