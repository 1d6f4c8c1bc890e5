"""A user's own data as a task: files of inputs and labels, and what they were understood as."""

from trm.tasks.data.task import DataConfig, DataTask

__all__ = ["DataConfig", "DataTask"]
