"""What test_transformers_tokenizers.py runs in Hugging Face's environment: `tokenizers_script.py FOLDER`.

Writes the ids that the tokenizers in FOLDER/ours give for the texts in FOLDER/texts.json into FOLDER/ids.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import transformers


def main(folder: Path) -> None:
    texts = json.loads((folder / "texts.json").read_text())
    found: dict[str, Any] = {}
    for path in sorted((folder / "ours").iterdir()):
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        found[path.name] = {
            "ids": tokenizer(texts)["input_ids"],
            "masked": tokenizer(f"The value {tokenizer.mask_token} is")["input_ids"],
            "special": {name: getattr(tokenizer, f"{name}_token_id") for name in ("pad", "unk", "cls", "sep", "mask")},
            "max_length": tokenizer.model_max_length,
        }
    (folder / "ids.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
