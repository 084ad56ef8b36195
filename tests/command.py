"""The command, called in this process."""

import pytest

from linops_video.cli import main


def run(*arguments: object) -> int:
    """The exit code of `linops-video` with these arguments."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code if isinstance(ended.value.code, int) else 1
