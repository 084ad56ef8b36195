"""Data sets of videos: the three of the paper, and any folder or archive."""

from linops_video.datasets.registry import DATASETS, dataset
from linops_video.datasets.video_set import VideoSet, spread

__all__ = ["DATASETS", "VideoSet", "dataset", "spread"]
