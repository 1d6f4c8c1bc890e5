"""ARC: puzzles of coloured grids with a few examples each, their images, votes and scores."""

from trm.tasks.arc.config import ArcConfig
from trm.tasks.arc.files import ArcPuzzle, read_puzzles
from trm.tasks.arc.task import ArcTask

__all__ = ["ArcConfig", "ArcPuzzle", "ArcTask", "read_puzzles"]
