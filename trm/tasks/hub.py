"""Puzzle files from the Hugging Face hub."""

from __future__ import annotations

import logging
from pathlib import Path

from trm.errors import UserError


def download(repository: str, filename: str) -> Path:
    """The local path of a data set's file, downloaded unless the hub's own cache holds it.

    Raises:
        UserError: `huggingface_hub` is not installed, or the file cannot be had.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        remedy = "needs huggingface_hub: pip install 'trm-search[hub]'"
        raise UserError("task.hub", repository, remedy) from error
    # It warns of every retry; one line at the end says it all.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return Path(hf_hub_download(repository, filename, repo_type="dataset"))
    except (OSError, ValueError) as error:  # the hub's errors derive from these
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        remedy = f"cannot give {filename}: {reason}; or download it and set task.file"
        raise UserError("task.hub", repository, remedy) from error
