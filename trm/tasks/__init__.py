"""Tasks by name. A plug-in adds its own with `TASKS["mine"] = MyTaskConfig`.

>>> TASKS["sudoku"](box=[2, 2]).box
(2, 2)
"""

from trm.tasks.algorithms.arithmetic import ArithmeticConfig
from trm.tasks.algorithms.automaton import AutomatonConfig
from trm.tasks.algorithms.graph import GraphConfig
from trm.tasks.algorithms.program import ProgramConfig
from trm.tasks.algorithms.search import BinarySearchConfig
from trm.tasks.algorithms.sort import SortConfig
from trm.tasks.arc import ArcConfig
from trm.tasks.arrows import ArrowsConfig
from trm.tasks.base import TaskConfig
from trm.tasks.constraints.colouring import ColouringConfig
from trm.tasks.constraints.queens import QueensConfig
from trm.tasks.data import DataConfig
from trm.tasks.maze import MazeConfig
from trm.tasks.mixture import MixtureConfig
from trm.tasks.reasoning_gym import ReasoningGymConfig
from trm.tasks.sequences.permutations import PermutationsConfig
from trm.tasks.sequences.pointers import PointersConfig
from trm.tasks.sequences.recall import RecallConfig
from trm.tasks.sudoku import SudokuConfig

TASKS: dict[str, type[TaskConfig]] = {
    "arrows": ArrowsConfig,
    "sudoku": SudokuConfig,
    "arc": ArcConfig,
    "sort": SortConfig,
    "search": BinarySearchConfig,
    "graph": GraphConfig,
    "automaton": AutomatonConfig,
    "arithmetic": ArithmeticConfig,
    "program": ProgramConfig,
    "pointers": PointersConfig,
    "permutations": PermutationsConfig,
    "recall": RecallConfig,
    "maze": MazeConfig,
    "queens": QueensConfig,
    "colouring": ColouringConfig,
    "reasoning_gym": ReasoningGymConfig,
    "mixture": MixtureConfig,
    "data": DataConfig,
}
