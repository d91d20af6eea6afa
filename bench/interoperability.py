"""Reads our shards with tensorflow/models, and its shards with our loader: `make interoperability`.

Compares every value, in both directions, for both versions of the feature names. Runs in this project's environment;
tensorflow/models runs in its own (`make peers`), in a subprocess of this file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "out" / "peers" / "bin" / "python"
VOCAB = ROOT / "vocab" / "sample-uncased-8k.txt"
SEQ_LENGTH, PREDICTIONS = 128, 20
NAMES = (
    "input_word_ids",
    "input_mask",
    "input_type_ids",
    "masked_lm_positions",
    "masked_lm_ids",
    "masked_lm_weights",
    "next_sentence_labels",
)


def main(text: str) -> None:
    """Runs all four checks on a text file in BERT's format."""
    with tempfile.TemporaryDirectory() as folder:
        for version in ("v1", "v2"):
            ours = Path(folder, f"ours-{version}")
            _check(f"tensorflow/models reads our {version} shards", _make_corpus(ours, text, version), ours, version)
            theirs = Path(folder, f"theirs-{version}.tfrecord")
            _peers("write", text, str(theirs), version)
            _check(f"our loader reads tensorflow/models' {version} shards", theirs, theirs, version)


def _make_corpus(output: Path, text: str, version: str) -> Path:
    """Makes a corpus; returns its training shard."""
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", text, "--format", "bert", "--output", str(output)]
    command += ["--vocab", str(VOCAB), "--feature-names", version, "--dupe-factor", "1", "--no-progress"]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return sorted(output.glob("train-*"))[0]


def _check(what: str, shard: Path, path: Path, version: str) -> None:
    """Reads the same records with both loaders and compares every value."""
    columns = Path(tempfile.mkstemp(suffix=".npz")[1])
    _peers("read", str(shard), str(columns), version)
    theirs = np.load(columns)
    ours = _read_ours(str(shard))
    columns.unlink()
    for name in NAMES:
        if not np.array_equal(ours[name], theirs[name]):
            raise SystemExit(f"{what}: {name} differs")
    print(f"{what}: {len(ours['input_word_ids']):,} examples, all {len(NAMES)} features equal")


def _read_ours(path: str) -> dict[str, np.ndarray]:
    from pipeline.training.configs import DataConfig
    from pipeline.training.data.loader import build_dataset

    config = DataConfig(
        input_path=path, is_training=False, global_batch_size=64, seq_length=SEQ_LENGTH,
        max_predictions_per_seq=PREDICTIONS, trim=False,
    )  # fmt: skip
    return _stack(build_dataset(config))


def _stack(batches: object) -> dict[str, np.ndarray]:
    rows = [{name: np.asarray(batch[name]) for name in NAMES} for batch in batches]  # type: ignore[attr-defined]
    return {name: np.concatenate([row[name] for row in rows]) for name in NAMES}


def _peers(*arguments: str) -> None:
    done = subprocess.run([str(PEERS), __file__, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


# === In the peers' environment ===


def _peer_write(text: str, output: str, version: str) -> None:
    from absl import app, flags
    from official.nlp.data import create_pretraining_data

    arguments = [
        "create_pretraining_data",
        f"--input_file={text}",
        f"--output_file={output}",
        f"--vocab_file={VOCAB}",
        f"--max_seq_length={SEQ_LENGTH}",
        f"--max_predictions_per_seq={PREDICTIONS}",
        "--dupe_factor=1",
        f"--use_v2_feature_names={version == 'v2'}",
    ]
    flags.FLAGS.unparse_flags()
    app.run(create_pretraining_data.main, argv=arguments)


def _peer_read(shard: str, output: str, version: str) -> None:
    from official.nlp.data import pretrain_dataloader

    config = pretrain_dataloader.BertPretrainDataConfig(
        input_path=shard,
        global_batch_size=64,
        is_training=False,
        seq_length=SEQ_LENGTH,
        max_predictions_per_seq=PREDICTIONS,
        use_v2_feature_names=version == "v2",
        drop_remainder=False,
        cycle_length=1,
    )
    np.savez(output, **_stack(pretrain_dataloader.BertPretrainDataLoader(config).load()))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        _peer_write(*sys.argv[2:])
    elif sys.argv[1] == "read":
        _peer_read(*sys.argv[2:])
    else:
        main(sys.argv[1])
