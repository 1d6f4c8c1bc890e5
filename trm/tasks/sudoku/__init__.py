"""Sudoku of any box shape: rules, solver, generator, symmetries, files and the task itself."""

from trm.tasks.sudoku.rules import Box, is_solved
from trm.tasks.sudoku.solver import Solutions, solve
from trm.tasks.sudoku.task import SudokuConfig, SudokuTask

__all__ = ["Box", "Solutions", "SudokuConfig", "SudokuTask", "is_solved", "solve"]
