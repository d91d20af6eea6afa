"""What every config can do, as tensorflow/models' `base_config.Config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pipeline import files
from pipeline.config.tree import dump_yaml, from_dict, load_yaml, replace_values, to_dict

ConfigT = TypeVar("ConfigT", bound="Config")


class _ConfigType(type):
    """Lets a config be made from a mapping: `Config({"a": 1})` is `from_dict(Config, {"a": 1})`."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], Mapping):
            kind: Any = cls
            return from_dict(kind, {**args[0], **kwargs})
        return super().__call__(*args, **kwargs)


class Config(metaclass=_ConfigType):
    """The base of configs, which are dataclasses; see `pipeline.config.tree`.

    A config may be made from its fields or from a mapping that holds them, nested ones as well:
    `MaskedLMConfig({"model": {"encoder": {"num_layers": 2}}})`.
    """

    def as_dict(self) -> dict[str, Any]:
        """Returns the config as plain dictionaries, lists and scalars."""
        return to_dict(self)

    def replace(self: ConfigT, **values: Any) -> ConfigT:
        """Returns a copy with some fields replaced.

        Args:
            **values: the new values by field; nested configs as a whole, or in part by mappings.

        Raises:
            ConfigError: for an unknown name or a value of the wrong type.
        """
        return replace_values(self, values)

    def override(self: ConfigT, values: Mapping[str, Any]) -> ConfigT:
        """Returns a copy with the fields of a nested mapping replaced.

        tensorflow/models changes the config itself; ours cannot be changed, so that what was checked stays checked.

        Args:
            values: the new values by field, nested ones as mappings.

        Raises:
            ConfigError: for an unknown name or a value of the wrong type.
        """
        return replace_values(self, values)

    @classmethod
    def from_yaml(cls: type[ConfigT], file_path: str) -> ConfigT:
        """Reads a config from a YAML file.

        Args:
            file_path: the file.

        Raises:
            ConfigError: if the file is missing, is not YAML, or holds other options.
        """
        return load_yaml(cls, file_path)


def save_params_dict_to_yaml(params: Config, file_path: str) -> None:
    """Writes a config to a YAML file that `from_yaml` reads back to an equal config.

    Raises:
        OutputError: if it cannot be written.
    """
    files.write_atomically(file_path, dump_yaml(params).encode())
