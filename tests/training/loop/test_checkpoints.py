from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.errors import OutputError
from pipeline.training.loop.checkpoints import Checkpoints


class Setting:
    """A variable, and its checkpoints of steps 2, 4 and 6."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.value = tf.Variable(0.0)
        self.checkpoints = Checkpoints(str(folder), {"values": {"value": self.value}})
        for step in (2, 4, 6):
            self.value.assign(float(step))
            self.checkpoints.save(step)
            self.checkpoints.keep([2, 4, 6])

    def restored(self) -> float:
        """What a process that comes later finds."""
        value = tf.Variable(0.0)
        Checkpoints(str(self.folder), {"values": {"value": value}}).restore_newest()
        return float(value)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path / "checkpoints")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_restored_where_there_is_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path / "none"), {"values": {"value": tf.Variable(1.0)}})
    assert checkpoints.steps() == []
    assert not checkpoints.restore_newest()


def test_those_that_are_kept_are_named_for_tensorflow(setting: Setting) -> None:
    setting.checkpoints.keep([4, 6])
    assert names(setting.folder) == [
        "checkpoint",
        "step-4.data-00000-of-00001",
        "step-4.index",
        "step-6.data-00000-of-00001",
        "step-6.index",
    ]
    state = tf.train.get_checkpoint_state(str(setting.folder))
    assert state.model_checkpoint_path == str(setting.folder / "step-6")
    assert list(state.all_model_checkpoint_paths) == [str(setting.folder / f"step-{step}") for step in (4, 6)]


@pytest.mark.parametrize("state", [None, b"", b"\xff\x00garbage", b'model_checkpoint_path: "step-2"\n'])
def test_the_state_file_is_not_believed(setting: Setting, state: bytes | None) -> None:
    (setting.folder / "checkpoint").unlink()
    if state is not None:
        (setting.folder / "checkpoint").write_bytes(state)
    assert setting.restored() == 6


@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("damage", ["lost", "empty", "cut", "garbage"])
def test_a_damaged_one_gives_way_to_the_one_before(
    setting: Setting, capsys: pytest.CaptureFixture[str], kind: str, damage: str
) -> None:
    path = setting.folder / f"step-6.{kind}"
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:-3], "garbage": b"garbage" * 20}[damage])
    assert setting.restored() == 4
    assert f"{setting.folder}/step-6 is damaged (" in capsys.readouterr().out


def test_a_damaged_one_is_written_again(setting: Setting) -> None:
    (setting.folder / "step-6.index").write_bytes(b"")
    value = tf.Variable(0.0)
    checkpoints = Checkpoints(str(setting.folder), {"values": {"value": value}})
    assert checkpoints.restore_newest()
    value.assign(6.0)
    checkpoints.save(6)
    assert setting.restored() == 6


def test_all_are_damaged(setting: Setting) -> None:
    for path in setting.folder.glob("*.index"):
        path.unlink()
    with pytest.raises(OutputError, match="must contain a complete checkpoint"):
        setting.restored()


def test_one_that_a_kill_cut_short_is_none(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    """TensorFlow writes in a folder of its own, and removes it last."""
    (setting.folder / "step-6_temp").mkdir()
    assert setting.restored() == 4
    assert capsys.readouterr().out == ""
    setting.checkpoints.keep([2, 4])
    assert not [name for name in names(setting.folder) if name.startswith("step-6")]


def test_what_a_kill_left_does_not_undo_the_next_writing(setting: Setting) -> None:
    (setting.folder / "step-8_temp").mkdir()
    (setting.folder / "step-8_temp" / "part-00000-of-00001.data-00000-of-00001.tempstate1").write_bytes(b"half")
    (setting.folder / "step-8.index").write_bytes(b"half")
    assert setting.restored() == 6
    setting.value.assign(8.0)
    setting.checkpoints.save(8)
    assert setting.checkpoints.steps() == [2, 4, 6, 8]
    assert setting.restored() == 8


def test_one_of_another_model_is_refused(setting: Setting) -> None:
    other = Checkpoints(str(setting.folder), {"values": {"value": tf.Variable([1.0, 2.0])}})
    with pytest.raises(OutputError, match="must contain the model and the optimiser of this configuration"):
        other.restore_newest()


def test_one_that_cannot_be_written(setting: Setting) -> None:
    (setting.folder / "step-8_temp").write_bytes(b"")  # In the way of TensorFlow's folder.
    with pytest.raises(OutputError, match=r"The checkpoint of step 8 cannot be written\..*are kept"):
        setting.checkpoints.save(8)
    assert setting.restored() == 6


def test_a_checkpoint_before_a_new_group_is_read(setting: Setting) -> None:
    """Optional variables that it lacks stay as they are; others are missed."""
    value, average = tf.Variable(0.0), tf.Variable(7.0)
    groups = {"values": {"value": value}, "averages": {"layer/a.b": average}}
    Checkpoints(str(setting.folder), groups, optional=["averages"]).restore_newest()
    assert (float(value), float(average)) == (6.0, 7.0)
    with pytest.raises(OutputError, match="must contain the model and the optimiser of this configuration"):
        Checkpoints(str(setting.folder), groups).restore_newest()

    average.assign(3.0)
    Checkpoints(str(setting.folder), groups, optional=["averages"]).save(8)
    average.assign(0.0)
    Checkpoints(str(setting.folder), groups, optional=["averages"]).restore_newest()
    assert float(average) == 3.0


def test_versions_of_the_format(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of before there were versions is read; one of a later version is refused, and not overwritten."""
    old = tf.train.Checkpoint(values={"value": tf.Variable(5.0)})
    old.write(str(setting.folder / "step-8"))
    assert setting.restored() == 5.0
    monkeypatch.setattr("pipeline.training.loop.checkpoints.FORMAT", 2)
    Checkpoints(str(setting.folder), {"values": {"value": tf.Variable(9.0)}}).save(10)
    monkeypatch.undo()
    with pytest.raises(OutputError, match=r"step-10 must be of format 1 at most. Received: 2"):
        setting.restored()
