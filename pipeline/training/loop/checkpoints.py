"""Checkpoints of a directory, found by their files."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from pipeline import files
from pipeline.errors import OutputError
from pipeline.training.checkpoint_files import complete_steps, remove_checkpoints
from pipeline.training.finite import not_finite, short_list

logger = logging.getLogger(__name__)

# Raised when what a checkpoint holds is to be read in another way. A new group of variables needs no new version: it
# is optional. Checkpoints that name no version count as 1.
FORMAT = 1
_FORMAT_GROUP = "format"


class Checkpoints:
    """TensorFlow's checkpoints `step-N` of a directory, one for each step N.

    The files themselves count, not TensorFlow's file `checkpoint`, which names the newest: it is written for others to
    read, and may be lost or damaged. A checkpoint that a kill cut short is absent.

    Args:
        directory: where they lie.
        groups: the variables that they hold: by the group's name, then by their own.
        numbers: the variables among them which must be finite; a checkpoint in which they are not counts as damaged.
        optional: names of groups whose variables may be missing in a checkpoint, and then stay as they are. A group
            that came later is made optional, so that older checkpoints stay readable.
    """

    def __init__(
        self,
        directory: str,
        groups: Mapping[str, Mapping[str, tf.Variable]],
        numbers: Sequence[Any] = (),
        *,
        optional: Collection[str] = (),
    ) -> None:
        self.directory = directory
        self._groups = groups
        self._optional = optional
        version = tf.Variable(FORMAT, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(**groups, **{_FORMAT_GROUP: version})
        self._numbers = numbers
        self._held: int | None = None  # The step of the checkpoint that was written or restored last.

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, damaged ones too; ascending."""
        return complete_steps(self.directory)

    def save(self, step: int) -> None:
        """Writes a checkpoint, if the one of this step was not the last to be written or restored.

        Raises:
            OutputError: if it cannot be written.
        """
        if step == self._held:
            return
        # What a kill left in TensorFlow's folder would keep it there, and the new checkpoint would seem unfinished.
        remove_checkpoints(self.directory, lambda found: False)
        try:
            self._checkpoint.write(self._prefix(step))
        except (tf.errors.OpError, OSError) as error:
            remove_checkpoints(self.directory, lambda found: found == step)
            raise OutputError(
                f"The checkpoint of step {step:,} cannot be written",
                received=_first_line(error),
                do=f"Earlier checkpoints in {self.directory} are kept. Check the free space and the permissions, then"
                " run again",
            ) from error
        self._held = step

    def keep(self, steps: Sequence[int]) -> None:
        """Removes all checkpoints but those of `steps`, and names the last for others.

        Raises:
            OutputError: if that file cannot be written.
        """
        remove_checkpoints(self.directory, lambda step: step not in steps)
        names = [json.dumps(f"step-{step}") for step in self.steps()]
        if names:
            lines = [f"model_checkpoint_path: {names[-1]}", *(f"all_model_checkpoint_paths: {name}" for name in names)]
            files.write_atomically(files.join(self.directory, "checkpoint"), "\n".join([*lines, ""]).encode())

    def restore_newest(self) -> bool:
        """Restores the newest checkpoint that is whole.

        Returns:
            Whether there was one; False where there is no checkpoint at all.

        Raises:
            OutputError: if all are damaged, or one is of another model or optimiser.
        """
        return self.restore(list(reversed(self.steps())))

    def restore(self, steps: Sequence[int]) -> bool:
        """As `restore_newest`, of certain checkpoints, in this order."""
        damage: Exception | None = None
        for step in steps:
            path = self._prefix(step)
            try:
                reader = tf.train.load_checkpoint(path)
                version = _version(reader)
            except (
                tf.errors.OpError,
                IndexError,
            ) as error:  # Of one kind or another, as the files are damaged.
                damage = _report_damage(path, error)
                continue
            if version > FORMAT:
                raise OutputError(
                    f"The checkpoint {path} must be of format {FORMAT} at most",
                    received=version,
                    do="Use the version of this program that wrote it, or a later one",
                )
            try:
                tf.train.Checkpoint(**self._held_groups(reader)).read(path).assert_existing_objects_matched()
                if names := not_finite(self._numbers):
                    raise tf.errors.DataLossError(None, None, f"NaN or infinite numbers in {short_list(names)}")
                self._held = step
                return True
            except (AssertionError, ValueError, tf.errors.InvalidArgumentError) as error:
                raise OutputError(
                    f"The checkpoint {path} must contain the model and the optimiser of this configuration",
                    received=_first_line(error),
                    do="Use the configuration that wrote it, or choose another directory for the run",
                ) from error
            except (tf.errors.OpError, IndexError) as error:  # Of one kind or another, as the data are damaged.
                damage = _report_damage(path, error)
        if damage:
            raise OutputError(
                f"{self.directory} must contain a complete checkpoint",
                received=_first_line(damage),
                do="Restore one from a copy, or choose another directory for the run",
            ) from damage
        return False

    def _held_groups(self, reader: Any) -> dict[str, Mapping[str, tf.Variable]]:
        """The groups, of the optional ones only what a checkpoint holds."""
        held = set(reader.get_variable_to_shape_map())
        return {
            group: {name: variable for name, variable in variables.items() if _key(group, name) in held}
            if group in self._optional
            else variables
            for group, variables in self._groups.items()
        }

    def _prefix(self, step: int) -> str:
        return files.join(self.directory, f"step-{step}")


def _key(*names: str) -> str:
    """A variable's key in TensorFlow's checkpoints."""
    return "/".join([*(name.replace(".", "..").replace("/", ".S") for name in names), ".ATTRIBUTES/VARIABLE_VALUE"])


def _version(reader: Any) -> int:
    key = _key(_FORMAT_GROUP)
    return int(reader.get_tensor(key)) if reader.has_tensor(key) else 1


def _report_damage(path: str, error: Exception) -> Exception:
    logger.warning(f"{path} is damaged ({_first_line(error)}); using the checkpoint before it")
    return error


def _first_line(error: Exception) -> str:
    """What an exception says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
