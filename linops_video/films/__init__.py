"""Films of any length, a window at a time: operators cut to windows and tiles."""
