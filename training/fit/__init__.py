"""What every training run has in common: the loop, processes, rates, files, and what a person sees of it."""

NOT_OF_THE_RESULT = frozenset(
    {
        "output",
        "minutes",
        "compile",
        "device",
        "data.workers",
        "data.cache",
        "log_every",
        "save_every",
        "validate_every",
    }
)
"""Fields of a config that may change when a run goes on: where and how fast it runs, not what it computes."""
