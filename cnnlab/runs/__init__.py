"""Training runs: kept on disk, told from end to end, carried out in processes of their own.

Nothing is imported here, since much of it takes PyTorch, for which not everybody who needs the rest can wait.
"""
