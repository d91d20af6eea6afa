"""Makes a corpus within a Beam pipeline of one's own: reads pages, cleans them, makes examples, writes the corpus.

    python examples/beam_pipeline.py 'pages/*.jsonl' out/corpus --vocab vocab/sample-uncased-8k.txt
    mlm-pipeline validate out/corpus
    mlm-pipeline pretrain --corpus out/corpus --run out/run --budget 5m

Each line of the input is a JSON object with the fields "language" and "html". Options that the script does not know are
Beam's own, such as `--direct_num_workers=2 --direct_running_mode=multi_processing`. docs/beam-pipelines.md explains the
transforms.
"""

from __future__ import annotations

import argparse
import html
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import yaml
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.beam import MakeExamples, WriteCorpus
from pipeline.reader import Corpus

_PARAGRAPH = re.compile(r"<p\b[^>]*>(.*?)</p>", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]+>")


class ExtractText(beam.DoFn):
    """Takes the paragraphs of the pages in one language: a line of JSON -> {"text": one paragraph per line}."""

    def __init__(self, language: str) -> None:
        self._language = language

    def process(self, line: str) -> Iterator[dict[str, str]]:
        page = json.loads(line)
        if page["language"] != self._language:
            Metrics.counter("pages", "other_language").inc()
            return
        paragraphs = (html.unescape(_TAG.sub("", found)) for found in _PARAGRAPH.findall(page["html"]))
        text = "\n".join(filter(None, (" ".join(paragraph.split()) for paragraph in paragraphs)))
        if text:
            yield {"text": text}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a corpus within a Beam pipeline.", allow_abbrev=False)
    parser.add_argument("input", help="files of JSON Lines, or a glob")
    parser.add_argument("output", help="directory of the corpus")
    parser.add_argument("--vocab", required=True, help="vocabulary")
    parser.add_argument("--config", help="YAML file of options of the corpus, such as configs/corpus-packed.yaml")
    parser.add_argument("--language", default="en", help="language of the pages to take")
    parser.add_argument("--shards", type=int, default=4, help="shards, each of some tens of MB of text at most")
    parser.add_argument("--overwrite", action="store_true", help="replace a corpus in the output directory")
    own, beam_options = parser.parse_known_args(arguments)
    options = yaml.safe_load(Path(own.config).read_text()) if own.config else {"pairing": "doc-sentences"}

    # Beam's DirectRunner would first try to download another runner.
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *beam_options])) as root:
        (
            root
            | "Read" >> beam.io.ReadFromText(own.input)
            | "Extract text" >> beam.ParDo(ExtractText(own.language))
            | "Make examples" >> MakeExamples(vocab=own.vocab, shards=own.shards, **options)
            | "Write corpus" >> WriteCorpus(own.output, overwrite=own.overwrite)
        )
    print(f"{len(Corpus(own.output)):,} training examples")


if __name__ == "__main__":
    main()
