"""What would end a run late ends it before its first step, and what a run has reached is never lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config.tree import apply_overrides, load_yaml
from pipeline.errors import ConfigError, CorpusError, OutputError, UserError
from pipeline.records.spec import RecordSpec
from pipeline.tokenizers import WordPieceTokenizer
from pipeline.training import start_checks
from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.trained_model import load_run
from pipeline.training.run import pretrain, resolve
from pipeline.training.run_folder import RunFolder
from pipeline.training.start_checks import check_space, export_notes

SHORT = {"train_steps": 4, "validation_interval": 2, "checkpoint_interval": 2, "optimizer": {"warmup_steps": 1}}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.example=nothing to fill"], r"trainer\.example must contain at least one \[MASK\]"),
        (["trainer.example=''"], r"trainer\.example must contain"),
        (
            [f"trainer.example='{'w01 ' * 22}[MASK]'"],
            r"trainer\.example must have at most the model's 24 tokens.*25 tokens",
        ),
        (
            ["task.validation_data.drop_remainder=true", "task.validation_data.global_batch_size=64"],
            "not be larger than the number of examples, 33",
        ),
        (["task.train_data.seq_length=128"], "seq_length is 128, but the records' is 24"),
        (["task.validation_data.seq_length=128"], "seq_length is 128"),
        (["task.validation_data.max_predictions_per_seq=20"], "max_predictions_per_seq is 20"),
        (["task.validation_data.masked_lm_prob=0.2"], "the records already contain masks"),
        (["task.train_data.use_v2_feature_names=false"], "use_v2_feature_names is False"),
        (["task.train_data.input_path=dummy"], r"train_data\.input_path must be left empty"),
        (["task.init_checkpoint=/nowhere"], "No model found at /nowhere"),
        (["runtime.distribution_strategy=tpu"], "no TPU can be reached"),
    ],
)
def test_nothing_is_begun(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path, overrides: list[str], message: str
) -> None:
    run = tmp_path / "run"
    config = apply_overrides(tiny_config(**SHORT), overrides)
    with pytest.raises(UserError, match=message):
        pretrain(config, str(tiny_corpus.directory), str(run), show_progress=False)
    assert not run.exists()


def test_masks_without_room(write_corpus: Any, tiny_config: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", spec=RecordSpec(24, 4, masked=False))
    for split in ("train", "validation"):
        overrides = [f"task.{split}_data.{option}" for option in ("masked_lm_prob=0.5", "max_predictions_per_seq=3")]
        config = apply_overrides(tiny_config(**SHORT), overrides)
        with pytest.raises(ConfigError, match="max_predictions_per_seq must be at least 12"):
            pretrain(config, str(corpus.directory), str(tmp_path / "run"), show_progress=False)
    assert not (tmp_path / "run").exists()


def test_a_corpus_without_predictions(write_corpus: Any, tiny_config: Any, tmp_path: Path) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    manifest = json.loads((directory / "manifest.json").read_text())
    for shard in manifest["shards"]:
        shard["predictions"] = 0
    (directory / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match=r"train examples of .* must contain predictions"):
        pretrain(tiny_config(**SHORT), str(directory), str(tmp_path / "run"), show_progress=False)


def test_damaged_validation_examples_are_met_before_the_first_step(
    write_corpus: Any, tiny_config: Any, tmp_path: Path
) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    shard = directory / "validation-00001-of-00002.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    run = tmp_path / "run"
    with pytest.raises(CorpusError, match="record"):
        pretrain(tiny_config(**SHORT), str(directory), str(run), show_progress=False)
    assert not list(run.glob("checkpoints/*"))


def test_a_run_that_has_trained_ends_with_its_table(
    write_corpus: Any, tiny_config: Any, tmp_path: Path, capsys: Any
) -> None:
    """Killed before its results were written, with the best weights and a training shard damaged since."""
    directory, run = write_corpus(tmp_path / "corpus").directory, tmp_path / "run"
    expected = pretrain(tiny_config(**SHORT), str(directory), str(run), show_progress=False)
    (run / "results.json").unlink()
    (data,) = (run / "checkpoints" / "best").glob("step-*.data*")
    data.write_bytes(data.read_bytes()[:100])
    shard = directory / "train-00000-of-00003.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    capsys.readouterr()
    results = pretrain(tiny_config(**SHORT), str(directory), str(run), show_progress=False)
    shown = capsys.readouterr().out
    assert "The model has the weights of the last step" in shown
    assert "note: " in shown
    assert results["unigram_cross_entropy"] is None
    assert results["model_step"] == results["steps"] == 4
    assert results["train"] == expected["train"]
    assert results["validation"]["step"] == 4
    assert json.loads((run / "results.json").read_text()) == results


def test_space_on_the_disk(tmp_path: Path, tiny_config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkpoints and one more, of the weights and two moments; the best weights, old and new; the model."""
    folder, model = RunFolder(str(tmp_path)), SimpleNamespace(count_params=lambda: 1_000_000)
    config = tiny_config(max_to_keep=2).trainer
    (tmp_path / "held").write_bytes(bytes(1_000_000))
    for free, refused in ((4 * 12_000_000 - 1_000_000, False), (4 * 12_000_000 - 1_000_001, True)):
        monkeypatch.setattr(start_checks.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        if refused:
            with pytest.raises(OutputError, match=r"needs 48 MB for 3 checkpoints.*47 MB of free space"):
                check_space(folder, config, model)
        else:
            check_space(folder, config, model)
    averaged = tiny_config(max_to_keep=2, optimizer={"warmup_steps": 1, "ema_decay": 0.9}).trainer
    with pytest.raises(OutputError, match=r"needs 60 MB for 3 checkpoints"):  # An average more in each.
        check_space(folder, averaged, model)


def test_what_cannot_be_exported_is_said_before_the_training(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path, capsys: Any
) -> None:
    config = apply_overrides(tiny_config(**SHORT), ["task.model.encoder.norm_first=true"])
    pretrain(config, str(tiny_corpus.directory), str(tmp_path / "run"), show_progress=False)
    shown = capsys.readouterr().out
    note = "note: export --format huggingface will refuse this model. Hugging Face's BERT supports only"
    assert f"{note} encoder.norm_first False" in shown
    assert shown.index(note) < shown.index("step 2: validation")
    with pytest.raises(ConfigError, match=r"encoder\.norm_first False"):
        export_huggingface(load_run(str(tmp_path / "run")), str(tmp_path / "exported"))


@pytest.mark.parametrize(("name", "heads"), [("pretrain-small", []), ("pretrain-small-bert", [256])])
def test_a_wider_encoder_alone_can_be_exported(tiny_corpus: Any, name: str, heads: list[int]) -> None:
    """As the README shows it: the small configuration with another hidden size."""
    small = load_yaml(ExperimentConfig, str(Path(__file__).parents[2] / "configs" / f"{name}.yaml"))
    directory = str(tiny_corpus.directory)
    config = resolve(
        apply_overrides(small, ["task.model.encoder.hidden_size=256", "task.model.encoder.num_attention_heads=4"]),
        open_corpora(directory),
    )
    assert [head.inner_dim for head in config.task.model.cls_heads] == heads
    vocabulary = (tiny_corpus.directory / "vocab.txt").read_bytes()
    assert export_notes(config.task.model, WordPieceTokenizer(vocabulary), vocabulary) == []


def test_a_finished_run_needs_its_corpus_no_longer(
    write_corpus: Any, tiny_config: Any, tmp_path: Path, capsys: Any
) -> None:
    directory, run = write_corpus(tmp_path / "corpus").directory, str(tmp_path / "run")
    expected = pretrain(tiny_config(**SHORT), str(directory), run, show_progress=False)
    for shard in directory.glob("*.tfrecord"):
        shard.unlink()
    assert pretrain(tiny_config(**SHORT), str(directory), run, show_progress=False) == expected
    shutil.rmtree(run)
    with pytest.raises(CorpusError, match="no such file"):
        pretrain(tiny_config(**SHORT), str(directory), run, show_progress=False)
