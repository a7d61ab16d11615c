"""Pictures as tensors and as files: colours and alpha, reading, writing, sheets and films."""
