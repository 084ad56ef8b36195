"""`python -m linops_video.cli`, which torchrun starts several times."""

from linops_video.cli import main

if __name__ == "__main__":
    main()
