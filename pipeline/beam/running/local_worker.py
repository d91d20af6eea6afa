"""A worker process of Beam's local runner, which ends when its launcher does: one that is killed cannot end it."""

from __future__ import annotations

import os
import sys
import threading
import time

_SECONDS_BETWEEN_LOOKS = 0.5


def _end_with(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)  # At once: there is nobody left to report to.


def main() -> None:
    """Works until the launcher, whose process id is the argument, has no more to do, or is gone."""
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
