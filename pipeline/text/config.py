"""Options that select and control the reading of raw text, shared by all jobs that read it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.config.tree import option
from pipeline.errors import ConfigError
from pipeline.text.cleaning import PRESETS, CleaningRules, cleaning_rules
from pipeline.text.reading.formats import FORMATS
from pipeline.text.reading.separators import separators


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Options that determine which documents are read from the input."""

    input: tuple[str, ...] = option(
        (), "files, directories or globs of raw text; also on stores (gs://, s3://, az://, https://, hf://)"
    )
    format: str = option(
        "auto",
        "format of the text; auto detects it from the extensions "
        + ", ".join(ending for kind in FORMATS.values() for ending in kind.endings)
        + ", and from the content of a few other files. "
        + "; ".join(f"{name}: {kind.description}" for name, kind in FORMATS.items()),
        choices=("auto", *FORMATS),
    )
    text_field: str = option("text", "field of JSON, or column of a table, with the text; a.b.c for a nested one")
    document_separator: str = option(
        "",
        r"separator of documents in text: a line such as <|endoftext|>, or any text with \n for line ends: '\n' makes"
        r" every line a document; by default, blank lines",
    )
    on_bad_text: str = option(
        "replace",
        "replace: invalid UTF-8 becomes U+FFFD, and a JSON line without text or a bad row of CSV is an error; drop:"
        " drops documents with invalid UTF-8, JSON lines without text, and bad rows of CSV",
        choices=("replace", "drop"),
    )
    csv_quotes: str = option(
        "double",
        "CSV and TSV: double: a field in double quotes may hold delimiters and line breaks; none: quotes are ordinary"
        " characters",
        choices=("double", "none"),
    )
    cleaning: str = option(
        "default", "; ".join(f"{name}: {rules.summary}" for name, rules in PRESETS.items()), choices=tuple(PRESETS)
    )
    min_document_chars: int | None = option(
        None, "drop documents with fewer characters; by default, as cleaning defines", minimum=1, maximum=1 << 40
    )
    max_document_chars: int | None = option(
        None, "drop documents with more characters; by default, as cleaning defines", minimum=1, maximum=1 << 40
    )
    block_bytes: int = option(
        0,
        "bytes of text in a block, the unit of work; 0 means 4 to 32 MiB, depending on the size of the input",
        minimum=0,
        maximum=1 << 40,
    )

    def writes(self, path: str) -> bool:
        """Returns whether the job itself writes to this path, which therefore is not input."""
        return False

    def check_text(self) -> None:
        """Checks what `check_ranges` does not check.

        Raises:
            ConfigError: if an option is invalid.
        """
        if not self.input:
            raise ConfigError("input is required", do="Set --input, or input in the config file")
        if 0 < self.block_bytes < 1024:
            raise ConfigError("block_bytes must be 0 or at least 1024", received=self.block_bytes)
        if not self.text_field:
            raise ConfigError("text_field must name a field", received="an empty name")
        rules = self.cleaning_rules()
        if rules.max_chars and rules.max_chars < rules.min_chars:
            raise ConfigError(
                f"max_document_chars must be at least min_document_chars ({rules.min_chars})", received=rules.max_chars
            )
        separators("lines", self.document_separator)

    def cleaning_rules(self) -> CleaningRules:
        """Returns the rules by which documents are cleaned."""
        return cleaning_rules(self.cleaning, min_chars=self.min_document_chars, max_chars=self.max_document_chars)
