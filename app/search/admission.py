"""Admission control: what exceeds the limit is refused at once, with a time to come back."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import OverloadedError

WEIGHT = 0.2
"""Of the latest request in the running mean of how long a slot is held."""


class Admission:
    """A fixed number of slots for requests in progress. Belongs to one event loop."""

    def __init__(self, num_slots: int, setting: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with every slot free.

        Args:
            num_slots: requests in progress at the same time.
            setting: what changes the number, for the message.
            clock: seconds.
        """
        self._num_slots = num_slots
        self._setting = setting
        self._clock = clock
        self._mean_held_s = 1.0
        self.num_in_progress = 0

    def require_slot(self) -> None:
        """Make sure that a slot is free.

        Raises:
            OverloadedError: none is, and when to come back.
        """
        if self.num_in_progress >= self._num_slots:
            retry_after_s = math.ceil(self._mean_held_s)
            raise OverloadedError(
                f"{self.num_in_progress} requests are in progress, which is the limit ({self._setting}); try again in"
                f" {retry_after_s} s",
                retry_after_s=retry_after_s,
            )

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot as long as the block runs.

        Raises:
            OverloadedError: none is free.
        """
        self.require_slot()
        self.num_in_progress += 1
        started = self._clock()
        try:
            yield
        finally:
            self.num_in_progress -= 1
            self._mean_held_s += WEIGHT * (self._clock() - started - self._mean_held_s)
