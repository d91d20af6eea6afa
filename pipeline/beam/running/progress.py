"""A progress bar for work whose parts each leave a file: it moves on any runner."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Mapping

from pipeline import files

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_REMOTE_LOOKS = 15


@contextlib.contextmanager
def watch_folder(
    folder: str, sizes: Mapping[str, int], *, unit: str, description: str, enabled: bool
) -> Iterator[None]:
    """Draws a bar that grows as files appear in a folder, while the body runs.

    Args:
        folder: the folder.
        sizes: by the file names waited for, how much of the work each stands for.
        unit: the unit of `sizes`.
        description: what to write before the bar.
        enabled: whether to draw it.
    """
    if not enabled:
        yield
        return
    from tqdm import tqdm

    done = threading.Event()
    seen: set[str] = set()
    # A terminal wants every move; a log file wants a line now and then.
    wait = 0 if sys.stderr.isatty() else 10
    bar = tqdm(total=sum(sizes.values()), desc=description, unit=unit, unit_scale=True, mininterval=wait)

    def look() -> None:
        fresh = sizes.keys() & set(files.list_names(folder)) - seen
        seen.update(fresh)
        bar.set_postfix_str(f"{len(seen):,}/{len(sizes):,} blocks", refresh=False)
        bar.update(sum(sizes[name] for name in fresh))

    def keep_looking() -> None:
        wait = _SECONDS_BETWEEN_REMOTE_LOOKS if files.is_remote(folder) else _SECONDS_BETWEEN_LOOKS
        while not done.wait(wait):
            # A look that fails, on an object store say, is no reason to end the work.
            with contextlib.suppress(Exception):
                look()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        with contextlib.suppress(Exception):
            look()
        bar.close()
