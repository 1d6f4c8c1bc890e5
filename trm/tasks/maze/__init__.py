"""Mazes on a grid of walls: generator, shortest paths, symmetries, files and the task itself."""

from trm.tasks.maze.paths import distances, is_shortest
from trm.tasks.maze.task import MazeConfig, MazeTask

__all__ = ["MazeConfig", "MazeTask", "distances", "is_shortest"]
