"""Noticing that a model does not get beyond the frequencies of tokens (google-research/bert#90: "stuck at 7")."""

from __future__ import annotations

from collections.abc import Iterable

_EVALUATIONS = 3  # In which nothing comes of it.
_STEPS = 1000  # From the first of them to the last, or a tenth of the run.
_NEAR = 0.3  # Nats below the baseline: within, a model may have learned frequencies, and little of context.
_IMPROVEMENT = 0.03  # Nats, from the first of them to the best of the others.

ADVICE = (
    "the masked-LM loss has almost stopped falling, and is not yet well below the unigram baseline: so far, the model"
    " has at most learned the frequencies of tokens, and nothing from their context. The loss of large models stays"
    " at this level for a few thousand steps, and then falls. If it does not, start another run with a lower"
    " --learning-rate (or a higher one, if it is below 1e-4), a longer trainer.optimizer.warmup_steps, or a smaller"
    " --batch-size with more --steps; and check the text and the vocabulary with the inspect and stats commands"
    ' (docs/training.md, "Stuck at the baseline")'
)


class Plateau:
    """Watches the masked-LM loss of evaluations; says once that it does not get away from the unigram baseline.

    Args:
        baseline: cross-entropy of predicting the tokens' frequencies, in nats; None where it is not known.
        warmup_steps: of the learning rate; evaluations before do not count.
        train_steps: of the run.
        history: step and loss of the evaluations before; what they called for has been said already.
    """

    def __init__(
        self,
        baseline: float | None,
        *,
        warmup_steps: int,
        train_steps: int,
        history: Iterable[tuple[int, float]] = (),
    ) -> None:
        self.baseline = baseline
        self._warmup_steps = warmup_steps
        self._span = min(_STEPS, train_steps // 10)
        self._past: list[tuple[int, float]] = []
        self._said = False
        for step, loss in history:
            self.note(step, loss)

    def note(self, step: int, loss: float) -> str | None:
        """Takes in an evaluation; returns what to tell the user, if there is something."""
        if self.baseline is None or self._said or step < self._warmup_steps:
            return None
        self._past.append((step, loss))
        # The last evaluations: as many as are needed, and as far apart.
        window = next(
            (
                self._past[start:]
                for start in range(len(self._past) - _EVALUATIONS, -1, -1)
                if step - self._past[start][0] >= self._span
            ),
            [],
        )
        if not window:
            return None
        losses = [value for _, value in window]
        self._said = min(losses) > self.baseline - _NEAR and losses[0] - min(losses[1:]) < _IMPROVEMENT
        return ADVICE if self._said else None

    def compare(self, loss: float) -> str:
        """How a masked-LM loss stands against the baseline, after a comma; empty where that is not known."""
        if self.baseline is None:
            return ""
        below = self.baseline - loss
        where = "below" if below >= 0 else "above"
        return f", {abs(below):.2f} nats {where} the unigram baseline of {self.baseline:.2f}"
