"""Errors that the user can fix.

Every message says what was needed, what was received, and what to do. The command line prints only the message and
exits with code 2; any other exception is a bug in this project.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "CorpusError",
    "InputError",
    "OutputError",
    "TrainingError",
    "UserError",
    "VocabularyError",
]


class UserError(Exception):
    """An error that the user can fix; its message is all that the user sees."""

    def __init__(self, needed: str, *, received: object = None, do: str = "") -> None:
        """Composes the message.

        Args:
            needed: what was needed, or what went wrong, as a sentence.
            received: what was received instead; left out of the message if None.
            do: what the user can do about it, as a sentence.
        """
        parts = [_sentence(needed)]
        if received is not None:
            parts.append(_sentence(f"Received: {received}"))
        if do:
            parts.append(_sentence(do))
        super().__init__(" ".join(parts))
        self._arguments = (needed, received, do)

    def within(self, where: str) -> UserError:
        """Returns this error with `where`, the place where it occurred, before its message."""
        needed, received, do = self._arguments
        return type(self)(f"{where}: {needed}", received=received, do=do)

    def __reduce__(self) -> tuple[object, ...]:
        # Workers raise these in other processes: pickling must preserve the message.
        needed, received, do = self._arguments
        return (_rebuild, (type(self), needed, received, do))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."


def _rebuild(kind: type[UserError], needed: str, received: object, do: str) -> UserError:
    return kind(needed, received=received, do=do)


class ConfigError(UserError):
    """An option with an invalid value, or options that contradict one another."""


class InputError(UserError):
    """Input that is missing, unreadable, or not in the stated format."""


class VocabularyError(UserError):
    """A vocabulary that is missing, malformed, or lacks what BERT needs."""


class OutputError(UserError):
    """An output that cannot be written, or that would overwrite something else."""


class CorpusError(UserError):
    """A corpus of TFRecords that is unfinished, damaged, or does not match what reads it."""


class TrainingError(UserError):
    """Training that cannot continue: its loss is NaN or infinite, or one of its machines is gone."""
