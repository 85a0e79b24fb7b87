"""Whether the service in this container is ready; what is missing is printed, for `docker inspect`."""

import os
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

try:
    with urlopen(f"http://127.0.0.1:{os.environ.get('SIGNDEX_PORT') or 8000}/readyz", timeout=4):
        pass
except HTTPError as answer:
    sys.exit(answer.read().decode())
except OSError as error:
    sys.exit(f"no answer: {error}")
