"""Configurations of data, optimiser, training and the whole experiment."""

from __future__ import annotations

import dataclasses
import re
import warnings
from dataclasses import dataclass
from typing import Any

from pipeline.config.base import Config
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.budget import parse_budget
from pipeline.training.encoders import MOST_POSITIONS
from pipeline.training.stages import MOST_EXAMPLES, StageConfig, check_stages

# Far beyond what anybody trains with, and near enough for what computes with them.
_MOST_STEPS = 10**12
_LARGEST_SEED = 2**32 - 1  # Numpy takes no larger one.
_LARGEST = 1e30  # Of a float32, with room for sums.

DECAYS = ("linear", "polynomial", "cosine", "constant", "wsd", "triangle")
_PEAKED = ("wsd", "triangle")  # Whose warm-up rises to the learning rate itself.


@dataclass(frozen=True)
class DataConfig(Config):
    """Where examples come from, and how they are batched.

    Lengths and feature names come from the corpus. If they are given here, they are only checked against it.

    Raises:
        ConfigError: if a value is out of range.
    """

    input_path: str | tuple[str, ...] = option(
        "",
        'directory of a corpus, or a list of several to mix; TFRecord files or globs, separated by commas; or "dummy"'
        " for zeros",
    )
    weights: tuple[float, ...] = option(
        (),
        "with several corpora in input_path: the share of tokens of each; by default, in proportion to their numbers"
        " of tokens",
        minimum=1e-9,
        maximum=1e9,
    )
    global_batch_size: int = option(512, "examples per batch, over all replicas", minimum=1, maximum=MOST_EXAMPLES)
    stages: tuple[StageConfig, ...] = option(
        (),
        "for training: consecutive stages, each with its corpora, its batch size and its end; without stages,"
        " input_path is read in batches of one size",
    )
    is_training: bool | None = option(
        None, "whether to shuffle and repeat; null: true for train_data, false for validation_data"
    )
    seq_length: int | None = option(
        None, "length of an example in tokens; null: as in the corpus", minimum=1, maximum=MOST_POSITIONS
    )
    max_predictions_per_seq: int | None = option(
        None, "maximum number of predictions per example; null: as in the corpus", minimum=1, maximum=MOST_POSITIONS
    )
    use_next_sentence_label: bool | None = option(
        None, "whether to read next-sentence labels; null: if the records contain them"
    )
    use_position_id: bool = option(False, "whether to read position_ids, which records of other tools may contain")
    use_v2_feature_names: bool | None = option(
        None,
        "whether features have v2 names (input_word_ids) rather than v1 names (input_ids); null: detected from the"
        " records",
    )
    drop_remainder: bool | None = option(None, "whether to drop an incomplete last batch; null: in training only")
    shuffle_buffer_size: int | None = option(
        None,
        "number of examples that are read and shuffled together, after the order of the chunks has been shuffled;"
        " null: 32,768, or fewer if these have over 8 million tokens",
        minimum=1,
        maximum=2**31 - 1,
    )
    cycle_length: int | None = option(
        None, "deprecated, has no effect: the chunks of an epoch come from all files", minimum=1, maximum=1024
    )
    seed: int | None = option(
        None, "seed of the order of examples; null: the run's seed, or 0", minimum=0, maximum=_LARGEST_SEED
    )
    trim: bool = option(True, "whether to cut each batch to its longest sequence, which saves computing on padding")
    masked_lm_prob: float | None = option(
        None,
        "share of tokens to predict, if masks are drawn when examples are read; null: as in the corpus",
        minimum=0.0001,
        maximum=1,
    )
    final_masked_lm_prob: float | None = option(
        None,
        "masked_lm_prob after masking_schedule_steps; null: unchanged",
        minimum=0.0001,
        maximum=1,
        source="Yang et al., 2023, https://arxiv.org/abs/2212.04803",
    )
    masking_schedule: str = option(
        "linear", "how masked_lm_prob changes to final_masked_lm_prob", choices=("linear", "cosine")
    )
    masking_schedule_steps: int | None = option(
        None,
        "steps over which masked_lm_prob changes; null: the run's train_steps",
        minimum=1,
        maximum=_MOST_STEPS,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        check_stages(self.stages, self.global_batch_size)
        if self.cycle_length is not None:
            warnings.warn(
                "cycle_length no longer has any effect: the chunks of an epoch come from all files in random order",
                FutureWarning,
                stacklevel=3,
            )

    def named_batch_sizes(self) -> dict[str, int]:
        """The sizes of batches by the options that name them; stages have others only between two of these."""
        sizes = {"global_batch_size": self.global_batch_size}
        for number, stage in enumerate(self.stages):
            for name in ("initial_batch_size", "global_batch_size"):
                if (size := getattr(stage, name)) is not None:
                    sizes[f"stages[{number}].{name}"] = size
        return sizes


@dataclass(frozen=True)
class MaskedLMConfig(Config):
    """The masked-LM task: a model and its data, as in tensorflow/models' `MaskedLMConfig`.

    If the training data are read without next-sentence labels, so are the validation data.

    Raises:
        ConfigError: if a value is out of range, or options contradict one another.
    """

    model: PretrainerConfig = option(
        PretrainerConfig(
            cls_heads=(ClsHeadConfig(inner_dim=None, num_classes=2, dropout_rate=0.1, name="next_sentence"),)
        ),
        "the model",
    )
    scale_loss: bool = option(
        False,
        "for custom loops around train_step: whether to divide the loss by the number of replicas, whose gradients"
        " are summed; pretrain averages over the global batch",
        source="tensorflow/models",
    )
    init_checkpoint: str = option(
        "",
        "source of the initial weights: a run, a Hugging Face folder, a TensorFlow checkpoint, or a model of the"
        " Hugging Face hub (owner/name; its commit is added); empty: random weights",
    )
    init_positions: str = option(
        "repeat",
        "how learned positions are extended if the model has more of them than its source: repeat: the table is"
        " repeated; interpolate: it is stretched linearly",
        choices=("repeat", "interpolate"),
        source="repeat: Beltagy et al., 2020, https://arxiv.org/abs/2004.05150",
    )
    train_data: DataConfig = option(DataConfig(), "what to train on")
    validation_data: DataConfig = option(DataConfig(), "what to evaluate on")

    def __post_init__(self) -> None:
        check_ranges(self)
        labels = self.train_data.use_next_sentence_label
        if labels is False and self.validation_data.use_next_sentence_label:
            raise ConfigError(
                "validation_data.use_next_sentence_label must not be true if train_data.use_next_sentence_label is"
                " false: the head to evaluate would be untrained",
                do="Leave it out of validation_data",
            )
        if self.validation_data.stages:
            raise ConfigError(
                "validation_data must have no stages",
                received=f"{len(self.validation_data.stages)}",
                do="Leave them out: a run in stages is evaluated on the corpora of the last one",
            )
        evaluated: dict[str, Any] = {"is_training": False}
        if labels is False:
            evaluated["use_next_sentence_label"] = False
        for name, role in (("train_data", {"is_training": True}), ("validation_data", evaluated)):
            data = getattr(self, name)
            left_open = {option: value for option, value in role.items() if getattr(data, option) is None}
            object.__setattr__(self, name, dataclasses.replace(data, **left_open))


def _check_pattern(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"{name} must contain regular expressions", received=f"{pattern!r} ({error})") from error
    if not pattern:
        raise ConfigError(f"{name} must not contain an empty expression, which matches every weight")


@dataclass(frozen=True)
class OptimizerConfig(Config):
    """The optimiser and its learning rate over the steps.

    Raises:
        ConfigError: for a value out of range.
    """

    type: str = option(
        "adamw",
        "adamw: Adam with decoupled weight decay (Loshchilov and Hutter, 2019); lamb: AdamW with each weight's step"
        " scaled to its norm, for large batches (You et al., 2020); stable_adamw: AdamW with the step of each weight"
        " clipped, for gradient_clip_norm=0 (Wortsman et al., 2023); muon: orthogonalised momentum for matrices,"
        " AdamW for other weights (Jordan et al., 2024)",
        choices=("adamw", "lamb", "stable_adamw", "muon"),
    )
    learning_rate: float = option(
        1e-4,
        "learning rate from which the decay starts at step 0; the warm-up ends on the curve of the decay. With wsd"
        " and triangle: the peak, at which the warm-up ends",
        minimum=0,
        maximum=_LARGEST,
    )
    end_learning_rate: float = option(0.0, "learning rate at the last step", minimum=0, maximum=_LARGEST)
    warmup_steps: int = option(
        10_000, "number of warm-up steps, over which the learning rate rises linearly", minimum=0, maximum=_MOST_STEPS
    )
    warmup_start: float = option(
        0.0,
        "with wsd and triangle: learning rate at the start of the warm-up, as a share of the peak",
        minimum=0,
        maximum=1,
    )
    decay: str = option(
        "linear",
        "how the learning rate falls; linear, polynomial, cosine: from step 0 to the last step; constant: not at all;"
        " wsd: over the last decay_steps steps; triangle: linearly, from the end of the warm-up to the last step",
        choices=DECAYS,
        source="tensorflow/models; wsd: Hu et al., 2024, https://arxiv.org/abs/2404.06395",
    )
    decay_power: float = option(1.0, "power of the polynomial decay", minimum=0, maximum=1000)
    decay_steps: int | None = option(
        None, "with wsd: number of steps of the decay; null: a tenth of train_steps", minimum=1, maximum=_MOST_STEPS
    )
    decay_form: str = option(
        "1-sqrt",
        "with wsd: shape of the decay",
        choices=("1-sqrt", "linear"),
        source="Haegele et al., 2024, https://arxiv.org/abs/2405.18392",
    )
    # The moments are divided by 1 - beta, which must be more than nothing in float32.
    beta_1: float = option(0.9, "decay rate of the first moment", minimum=0, maximum=0.999999)
    beta_2: float = option(0.999, "decay rate of the second moment", minimum=0, maximum=0.999999)
    epsilon: float = option(
        1e-6, "added to the square root of the second moment", minimum=0, maximum=1, source="google-research/bert"
    )
    weight_decay_rate: float = option(0.01, "decoupled weight decay", minimum=0, maximum=1000)
    exclude_from_weight_decay: tuple[str, ...] = option(
        ("layer_norm", "bias"), "weights without weight decay: regular expressions that match their paths"
    )
    gradient_clip_norm: float = option(
        1.0, "maximum global norm of the gradients; 0: no clipping", minimum=0, maximum=_LARGEST
    )
    muon_momentum: float = option(
        0.95,
        "with muon: momentum for the matrices",
        minimum=0,
        maximum=0.999999,
        source="Jordan et al., 2024, https://kellerjordan.github.io/posts/muon",
    )
    exclude_from_muon: tuple[str, ...] = option(
        ("embedding", "logits"),
        "with muon: matrices that AdamW updates: regular expressions that match their paths; weights that are not"
        " matrices are always updated by AdamW",
    )
    ema_decay: float | None = option(
        None,
        "decay of an exponential moving average of the weights (lower in the first steps), which is evaluated,"
        " exported and saved as the final model; null: no average",
        minimum=0,
        maximum=0.999999,
        source="tensorflow/models' EMAConfig.average_decay",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        for name in ("exclude_from_weight_decay", "exclude_from_muon"):
            for pattern in getattr(self, name):
                _check_pattern(name, pattern)
        if self.decay_steps is not None and self.decay != "wsd":
            raise ConfigError(
                "decay_steps can only be used with decay=wsd: other decays end at the last step", received=self.decay
            )
        if self.warmup_start and self.decay not in _PEAKED:
            raise ConfigError(f"warmup_start can only be used with decay={' or '.join(_PEAKED)}", received=self.decay)

    def steps_of_decay(self, train_steps: int) -> int:
        """How many steps the decay of `wsd` and `triangle` takes, of so many."""
        if self.decay == "triangle":
            return train_steps - self.warmup_steps
        return max(train_steps // 10, 1) if self.decay_steps is None else self.decay_steps


def parse_checkpoint(path: str) -> tuple[str, int] | None:
    """The run and the step of a path RUN/checkpoints/step-N; None if it is no such path."""
    match = re.fullmatch(r"(.+)/checkpoints/step-(\d{1,12})", path)
    return (match[1], int(match[2])) if match else None


@dataclass(frozen=True)
class TrainerConfig(Config):
    """How long to train, and how often to look.

    Raises:
        ConfigError: for a value out of range.
    """

    train_steps: int = option(1_000_000, "number of optimiser steps", minimum=1, maximum=_MOST_STEPS)
    budget: str = option(
        "",
        "wall time of the whole pretrain command, such as 90s, 30m, 2h or 1h30m: the speed is measured, and"
        " train_steps is chosen accordingly; so are optimizer.warmup_steps, optimizer.decay_steps and the intervals,"
        " unless they are set",
    )
    warmup_share: float | None = option(
        None,
        "with budget, if optimizer.warmup_steps is not set: the warm-up's share of train_steps; null: the"
        " experiment's share, but at least a tenth",
        minimum=0,
        maximum=0.9,
    )
    accumulation_steps: int | None = option(
        None,
        "number of parts, each of sequences of similar lengths, in which a replica computes its share of a batch, one"
        " after another: less memory and less padding, the same update; null: as few as fit in memory; the run's"
        " config.yaml records the number",
        minimum=1,
        maximum=MOST_EXAMPLES,
    )
    optimizer: OptimizerConfig = option(OptimizerConfig(), "the optimiser")
    heads_only_steps: int = option(
        0,
        "with --init-from: steps, from the first on, in which only the heads that the model lacks are trained, and what"
        " it brings is frozen",
        minimum=0,
        maximum=_MOST_STEPS,
        source="Kumar et al., 2022, https://arxiv.org/abs/2202.10054",
    )
    decay_from: str = option(
        "",
        "checkpoint of a run, RUN/checkpoints/step-N, from which this run decays the learning rate; pretrain"
        " --decay-from sets it, and everything that depends on it",
    )
    seed: int = option(
        0, "seed of the weights, the dropout and the order of the data", minimum=0, maximum=_LARGEST_SEED
    )
    summary_interval: int = option(100, "steps between summaries and log lines", minimum=1, maximum=_MOST_STEPS)
    validation_interval: int = option(1000, "steps between evaluations", minimum=1, maximum=_MOST_STEPS)
    early_stopping: int | None = option(
        None,
        "stop after this number of evaluations without a lower masked-LM loss; the best weights are then those with"
        " the lowest masked-LM loss; null: train for all steps, and the best weights are those with the lowest total"
        " loss",
        minimum=1,
        maximum=1_000_000,
        source="Prechelt, 1998, Early stopping - but when?",
    )
    checkpoint_interval: int = option(1000, "steps between checkpoints", minimum=1, maximum=_MOST_STEPS)
    steps_per_loop: int | None = option(
        None,
        "steps per call of TensorFlow, after which the run checks for signals and errors; a call also ends where a"
        " summary, an evaluation or a checkpoint is due. null: as many as take about a second, at most 100; on"
        " several machines, 1",
        minimum=1,
        maximum=10_000,
        source="tensorflow/models",
    )
    max_to_keep: int = option(
        3, "number of checkpoints to keep, in addition to the best weights", minimum=1, maximum=1_000_000
    )
    pseudo_tokens: int = option(
        500,
        "with --init-from: number of validation tokens, each masked on its own, from which the pseudo-perplexity is"
        " computed before the first step and at the end; 0: none",
        minimum=0,
        maximum=MOST_EXAMPLES,
    )
    restart_step: int | None = option(
        None,
        "step from which the learning rate schedule, warm-up and decay, is repeated over the rest of train_steps;"
        " pretrain --more-steps sets it",
        minimum=1,
        maximum=_MOST_STEPS,
    )
    example: str = option(
        "Paris is the [MASK] of France.", "sentence whose masks the trained model fills in at the end"
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.budget:
            parse_budget(self.budget)
        elif self.warmup_share is not None:
            raise ConfigError(
                "warmup_share can only be used with a budget",
                received=self.warmup_share,
                do="Set optimizer.warmup_steps, or a budget",
            )
        if self.heads_only_steps >= self.train_steps:
            raise ConfigError(
                "heads_only_steps must be less than train_steps",
                received=f"{self.heads_only_steps} and {self.train_steps}",
            )
        if self.restart_step is not None and self.restart_step >= self.train_steps:
            raise ConfigError(
                "restart_step must be less than train_steps", received=f"{self.restart_step} and {self.train_steps}"
            )
        scheduled = self.scheduled_steps
        of_which = "train_steps" if self.restart_step is None else "train_steps after restart_step"
        if self.optimizer.warmup_steps >= scheduled:
            raise ConfigError(
                f"warmup_steps must be less than {of_which}",
                received=f"{self.optimizer.warmup_steps} and {scheduled}",
            )
        if self.decay_from:
            self._check_decay(*self.decay_start)
        steps = self.optimizer.steps_of_decay(scheduled)
        if self.optimizer.decay == "wsd" and self.optimizer.warmup_steps + steps > scheduled:
            raise ConfigError(
                f"warmup_steps and decay_steps must add up to at most {scheduled:,}, the {of_which}",
                received=f"{self.optimizer.warmup_steps:,} and {steps:,}",
            )

    @property
    def scheduled_steps(self) -> int:
        """The steps that the learning rate's schedule has: all, or those after `restart_step`."""
        return self.train_steps - (self.restart_step or 0)

    def has_stopped_early(self, step: int, best_step: int) -> bool:
        """Whether `early_stopping` ends the run at a step.

        Args:
            step: the steps made.
            best_step: the step of the best evaluation; 0 before there is one.
        """
        if self.early_stopping is None or not best_step:
            return False
        since = max(best_step, self.restart_step or 0)
        return step // self.validation_interval - since // self.validation_interval >= self.early_stopping

    @property
    def decay_start(self) -> tuple[str, int]:
        """The run and the step that `decay_from` names.

        Raises:
            ConfigError: if it names none.
        """
        named = parse_checkpoint(self.decay_from)
        if named is None:
            raise ConfigError(
                "decay_from must be a checkpoint of a run, RUN/checkpoints/step-N", received=repr(self.decay_from)
            )
        return named

    def _check_decay(self, run: str, step: int) -> None:
        if self.optimizer.decay != "wsd" or self.train_steps != step + self.optimizer.steps_of_decay(self.train_steps):
            raise ConfigError(
                f"A run that decays from step {step:,} needs decay=wsd, and train_steps that exceed decay_steps by"
                f" {step:,}",
                received=f"{self.optimizer.decay}, {self.train_steps:,} and {self.optimizer.decay_steps}",
                do=f"Use pretrain --decay-from {run}, which sets them",
            )


@dataclass(frozen=True)
class RuntimeConfig(Config):
    """Devices and numeric precision; the names are those of tensorflow/models' `RuntimeConfig`.

    Raises:
        ConfigError: if a value is out of range, or options contradict one another.
    """

    distribution_strategy: str = option(
        "one_device",
        "one_device; mirrored: all devices of this machine; multi_worker_mirrored: all machines of TF_CONFIG; tpu",
        choices=("one_device", "mirrored", "multi_worker_mirrored", "tpu"),
    )
    tpu: str = option("", "name or address of the TPU; empty: this machine's TPU")
    mixed_precision_dtype: str = option(
        "float32",
        "data type of the computations of the layers; the weights stay float32; float16 also scales the loss",
        choices=("float32", "bfloat16", "float16"),
    )
    loss_scale: float | None = option(
        None, "with float16: fixed loss scale; null: adapted to the gradients", minimum=1, maximum=2**24
    )
    enable_xla: bool = option(False, "whether to compile the step with XLA; batches are then not trimmed")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.loss_scale is not None and self.mixed_precision_dtype != "float16":
            raise ConfigError("loss_scale can only be used with float16", received=self.mixed_precision_dtype)
        if self.tpu and self.distribution_strategy != "tpu":
            raise ConfigError(
                "tpu can only be used with distribution_strategy tpu", received=self.distribution_strategy
            )

    @property
    def needs_static_shapes(self) -> bool:
        """Whether the step is compiled anew for every shape, so that batches should have one."""
        return self.enable_xla or self.distribution_strategy == "tpu"


@dataclass(frozen=True)
class ExperimentConfig(Config):
    """A whole pre-training run: the task, how it is trained, and the devices and precision.

    Raises:
        ConfigError: if a batch cannot be divided into its parts, or `is_training` of the data does not match their
            role.
    """

    task: MaskedLMConfig = option(MaskedLMConfig(), "model and data")
    trainer: TrainerConfig = option(TrainerConfig(), "steps, optimiser, intervals")
    runtime: RuntimeConfig = option(RuntimeConfig(), "devices and precision")

    def __post_init__(self) -> None:
        check_ranges(self)
        for name, role in (("train_data", True), ("validation_data", False)):
            if getattr(self.task, name).is_training is not role:
                raise ConfigError(
                    f"task.{name}.is_training must be {str(role).lower()}",
                    received=str(not role).lower(),
                    do="Leave it out: it is set automatically",
                )
        if self.trainer.heads_only_steps and not self.task.init_checkpoint:
            raise ConfigError(
                "trainer.heads_only_steps needs a model to start from, whose encoder is then frozen",
                received=f"{self.trainer.heads_only_steps} without a model",
                do="Name one with --init-from, or leave it out",
            )
        parts = self.trainer.accumulation_steps
        for name, size in self.task.train_data.named_batch_sizes().items():
            if parts is not None and size % parts:
                raise ConfigError(
                    f"task.train_data.{name} must be a multiple of trainer.accumulation_steps",
                    received=f"{size} and {parts}",
                )
