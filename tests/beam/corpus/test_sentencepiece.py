"""A corpus by a SentencePiece model, from its vocabulary to its loaded tokenizer."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.make import make_corpus
from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.make import make_vocabulary
from pipeline.inspection.validation.validate import validate_corpus
from pipeline.manifest import read_manifest
from pipeline.tokenizers import load_tokenizer

CHINESE = "我们去北京。今天天气很好！东京很远，我们明天去东京。"


@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_a_corpus_of_whole_words(masking: str, text_files: str, tmp_path: Path) -> None:
    (Path(text_files) / "three.txt").write_text("\n\n".join(f"{CHINESE}{i}" for i in range(20)))
    model, corpus = str(tmp_path / "my.model"), str(tmp_path / "corpus")
    make_vocabulary(
        VocabConfig(input=(text_files,), output=model, kind="unigram", vocab_size=200, format="bert"),
        show_progress=False,
    )
    made = make_corpus(
        CorpusConfig(
            input=(text_files,),
            output=corpus,
            vocab=model,
            format="bert",
            max_seq_length=64,
            max_predictions_per_seq=10,
            masking=masking,
            masking_unit="word",
        ),
        show_progress=False,
    )
    manifest = read_manifest(corpus)
    assert manifest == made
    assert (manifest.tokenizer.kind, manifest.tokenizer.vocab_file) == ("sentencepiece", "spm.model")
    assert (Path(corpus) / "spm.model").read_bytes() == Path(model).read_bytes()
    assert manifest.statistics["train"]["unknown_share"] < 0.01
    tokenizer = load_tokenizer(manifest.tokenizer, corpus)
    ids = tokenizer.encode([CHINESE]).ids
    assert np.diff(np.flatnonzero(tokenizer.word_boundaries.find(ids))).max() < 5
    assert not validate_corpus(corpus, workers=1).problems
