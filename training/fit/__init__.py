"""One way to train: the loop, schedules, optimiser, processes, console and files that every method uses."""
