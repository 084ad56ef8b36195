"""The `linops-video` command."""

if __name__ != "linops_video.cli":
    raise ImportError("import linops_video.cli, not cli")
