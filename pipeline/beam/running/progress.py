"""A progress bar that counts the files left by finished work, so that it works on any runner."""

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
    folder: str, sizes: Mapping[str, int], *, unit: str, kind: str, description: str, enabled: bool
) -> Iterator[None]:
    """Draws a bar that grows as files appear in a folder, while the body runs.

    Args:
        folder: the folder.
        sizes: the file names to wait for, with the amount of work that each represents.
        unit: the unit of `sizes`.
        kind: what a file stands for, such as "block".
        description: the label of the bar.
        enabled: whether to draw it.
    """
    if not enabled:
        yield
        return
    from tqdm import tqdm

    done = threading.Event()
    seen: set[str] = set()
    # Updates a terminal at every step, but a log file only occasionally.
    wait = 0 if sys.stderr.isatty() else 10
    bar = tqdm(total=sum(sizes.values()), desc=description, unit=unit, unit_scale=True, mininterval=wait)

    def look() -> None:
        fresh = sizes.keys() & set(files.list_names(folder)) - seen
        seen.update(fresh)
        bar.set_postfix_str(f"{len(seen):,}/{len(sizes):,} {kind}s", refresh=False)
        bar.update(sum(sizes[name] for name in fresh))

    def keep_looking() -> None:
        wait = _SECONDS_BETWEEN_REMOTE_LOOKS if files.is_remote(folder) else _SECONDS_BETWEEN_LOOKS
        while not done.wait(wait):
            # A failed look, for example on an object store, must not stop the work.
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
