"""A worker process of Beam's local runner that ends with its launcher, even if the launcher is killed."""

from __future__ import annotations

import os
import sys
import threading
import time

_SECONDS_BETWEEN_LOOKS = 0.5


def _end_with(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)  # Without cleanup: nobody is left to report to.


def main() -> None:
    """Works until the launcher, whose process id is the argument, has no more work or is gone."""
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
