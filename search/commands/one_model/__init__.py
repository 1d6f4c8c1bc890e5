"""Commands on one model: its data, training, evaluation and export."""
