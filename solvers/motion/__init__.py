"""Motion between the frames of a video, and what frames say of each other along it."""
