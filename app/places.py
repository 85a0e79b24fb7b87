"""How much work is taken on at once. What is more is refused at once, with a time to come back."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import OverloadedError

WEIGHT = 0.2
"""Of the latest in the running mean of how long a place is held."""


class Places:
    """A fixed number of places. Belongs to one event loop."""

    def __init__(self, number: int, setting: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the places.

        Args:
            number: how many there are.
            setting: what changes the number, for the message.
            clock: seconds.
        """
        self._number = number
        self._setting = setting
        self._clock = clock
        self._mean_held_s = 1.0
        self.num_taken = 0

    def require_one(self) -> None:
        """Make sure that there is a place.

        Raises:
            OverloadedError: there is none, and when to come back.
        """
        if self.num_taken >= self._number:
            retry_after_s = math.ceil(self._mean_held_s)
            raise OverloadedError(
                f"{self.num_taken} requests are in the works, which is the limit ({self._setting}); try again in"
                f" {retry_after_s} s",
                retry_after_s=retry_after_s,
            )

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place as long as the block runs.

        Raises:
            OverloadedError: there is none.
        """
        self.require_one()
        self.num_taken += 1
        began = self._clock()
        try:
            yield
        finally:
            self.num_taken -= 1
            self._mean_held_s += WEIGHT * (self._clock() - began - self._mean_held_s)
