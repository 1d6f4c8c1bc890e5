"""The network: embeddings, the recursion over its shared layers, the heads; and its compilation."""
