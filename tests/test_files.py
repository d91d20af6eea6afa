from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec.implementations.memory
import pytest

from pipeline import files, stores
from pipeline.errors import ConfigError, InputError, OutputError
from pipeline.files import FileInfo


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files to list, some of them hidden."""
    for name in ("b.txt", "a.txt", "c.md", "deep/er/d.txt", ".hidden.txt", "_SUCCESS", ".git/x.txt", "_tmp/y.txt"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "tree"


def names(found: list[FileInfo], below: Path) -> list[str]:
    return [os.path.relpath(info.path, below) for info in found]


# === Listing ===


def test_a_directory_means_the_visible_files_anywhere_below(tree: Path) -> None:
    found = files.match([str(tree)])
    assert names(found, tree) == ["a.txt", "b.txt", "c.md", "deep/er/d.txt"]
    assert [info.bytes for info in found] == [5, 5, 4, 13]


def test_globs_paths_and_directories_give_each_file_once(tree: Path) -> None:
    found = files.match([f"{tree}/*.txt", f"{tree}/a.txt", f"{tree}/deep", f"{tree}/**/d.txt"])
    assert names(found, tree) == ["a.txt", "b.txt", "deep/er/d.txt"]
    found = files.match([f"{tree}/./a.txt", f"{tree}/deep/../a.txt", os.path.relpath(tree / "a.txt")])
    assert names(found, tree) == ["a.txt"]


def test_a_hidden_file_can_be_named(tree: Path) -> None:
    assert names(files.match([f"{tree}/.hidden.txt", f"{tree}/_SUCCESS"]), tree) == [".hidden.txt", "_SUCCESS"]


def test_a_path_with_glob_characters_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes [1999].txt"
    path.write_text("x")
    assert files.match([str(path)]) == [FileInfo(str(path), 1)]


def test_each_pattern_must_name_a_file(tree: Path) -> None:
    with pytest.raises(InputError, match=r"at least one file\. Received: '.*\*\.rst'\. Check the path"):
        files.match([f"{tree}/*.txt", f"{tree}/*.rst"])
    (tree / "empty").mkdir()
    with pytest.raises(InputError, match="at least one file"):
        files.match([str(tree / "empty")])


def test_pipes_and_standard_input_are_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    os.mkfifo("pipe")
    ends = os.pipe()
    for path in ("-", "pipe", str(tree), "/dev/null", "/dev/stdin", f"/dev/fd/{ends[0]}"):
        with pytest.raises(InputError, match=r"Each input must be a file.* Received: .*Write it to a file first"):
            files.match([path])
    for end in ends:
        os.close(end)
    os.remove("pipe")
    Path("-").write_text("A file of this name.")
    assert [info.path for info in files.match(["-"])] == ["-"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine that loses power may leave the name without the bytes."""
    path = tmp_path / "x"
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        done.append(("fsync", os.fstat(descriptor).st_size))

    def recorded_replace(old: str, new: str) -> None:
        done.append(("replace", os.path.getsize(old)))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    files.write_atomically(str(path), b"x" * 100_000)
    assert done[-2:] == [("fsync", 100_000), ("replace", 100_000)]


@pytest.mark.parametrize("named", ["", "link.txt"])
def test_a_link_to_nowhere_is_reported(tree: Path, named: str) -> None:
    (tree / "link.txt").symlink_to(tree / "gone.txt")
    with pytest.raises(InputError, match=r"No such file or directory: '.*link\.txt'"):
        files.match([str(tree / named)])


def test_a_directory_that_cannot_be_listed_is_reported(tree: Path) -> None:
    # Deeper than a path can be long: nobody, not even root, may list it by its path.
    with contextlib.ExitStack() as stack:
        descriptor = os.open(tree, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        for _ in range(20):
            os.mkdir("x" * 250, dir_fd=descriptor)
            descriptor = os.open("x" * 250, os.O_RDONLY, dir_fd=descriptor)
            stack.callback(os.close, descriptor)
    with pytest.raises(InputError, match=r"Cannot list .* Received: .*File name too long"):
        files.match([str(tree)])


# === Reading ===


def test_reading_from_a_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    assert files.read(str(path)) == b"0123456789"
    with files.open_read(str(path), 4) as stream:
        assert stream.read(3) == b"456"
        assert stream.read() == b"789"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "gone", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError) as caught:
            files.read(str(path))
        assert str(caught.value) == f"Cannot read {path}. Received: {reason}."


# === Writing ===


def test_a_file_is_under_its_name_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    path.write_bytes(b"before")
    with files.write_file(str(path)) as writer:
        writer.write(b"one ")
        writer.write(b"two")
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"one two"
    assert (writer.bytes, writer.sha256) == (7, hashlib.sha256(b"one two").hexdigest())
    assert os.listdir(tmp_path) == ["out.bin"]


def write_half(path: str, error: BaseException) -> None:
    with files.write_file(path) as writer:
        writer.write(b"half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError])
def test_a_writer_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        write_half(str(tmp_path / "out.bin"), error("stop"))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("size", [4, 1 << 20])  # Held back until the end, and not.
def test_of_two_files_the_one_that_cannot_be_written_is_named(tmp_path: Path, size: int) -> None:
    full, other = tmp_path / "full.bin", tmp_path / "other.bin"

    def write_both(patch: pytest.MonkeyPatch) -> None:
        temporary = files.temporary_name(str(full), "full")
        os.symlink("/dev/full", temporary)
        patch.setattr(files, "temporary_name", lambda path, _: temporary if path == str(full) else f"{path}.tmp")
        with files.write_file(str(full)) as first, files.write_file(str(other)) as second:
            second.write(b"x")
            first.write(b"x" * size)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OutputError, match=rf"Cannot write {full}\."):
        write_both(patch)
    assert not full.exists()
    assert not list(tmp_path.glob(".*"))


def test_two_attempts_at_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    with files.write_file(str(path)) as lost:
        lost.write(b"from the wor")
        with files.write_file(str(path)) as retry:
            retry.write(b"from the worker")
        assert path.read_bytes() == b"from the worker"
        lost.write(b"ker")
        assert path.read_bytes() == b"from the worker"
    assert path.read_bytes() == b"from the worker"
    assert os.listdir(tmp_path) == ["out.bin"]


def test_what_killed_attempts_left_is_removed(tmp_path: Path) -> None:
    kept = {"out.bin", ".other.bin.0a1b2c3d.tmp", "out.bin.0a1b2c3d.tmp", ".out.bin.0a1b2c3d.tmp.txt"}
    for name in (*kept, ".out.bin.0a1b2c3d.tmp", ".out.bin.ffffffff.tmp", ".out.bin.tmp", ".out.00.bin.00000000.tmp"):
        (tmp_path / name).write_bytes(b"half")
    files.remove_temporary(str(tmp_path), {"out.bin", "out.00.bin"})
    assert set(os.listdir(tmp_path)) == kept


def test_temporary_names_lie_beside_and_are_hidden() -> None:
    assert files.temporary_name("/a/b.txt") == "/a/.b.txt.tmp"
    assert files.temporary_name("b.txt") == ".b.txt.tmp"
    assert files.temporary_name("/b.txt") == "/.b.txt.tmp"
    assert files.temporary_name("gs://bucket/a/b.txt") == "gs://bucket/a/.b.txt.tmp"
    assert files.temporary_name("/a/b.txt", "0a1b2c3d") == "/a/.b.txt.0a1b2c3d.tmp"


@pytest.mark.parametrize(
    ("place", "reason"),
    [("file/below", "Not a directory"), ("gone/below", "No such file or directory"), ("folder", "Is a directory")],
)
def test_what_cannot_be_written_is_one_clear_error(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=f"Cannot write .*{place}. Received: {reason}. No partial file was left"):
        files.write_atomically(str(tmp_path / place), b"data")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_full_disk_is_one_clear_error() -> None:
    with pytest.raises(OutputError, match="Cannot write"):
        files.write_atomically("/dev/full/x", b"data")


def test_making_directories(tmp_path: Path) -> None:
    files.make_directory(str(tmp_path / "a" / "b"))
    files.make_directory(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    for place in ("file", "file/below"):
        with pytest.raises(OutputError, match=r"Cannot create the output directory .* Choose a directory"):
            files.make_directory(str(tmp_path / place))


def test_a_directory_that_may_not_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    # Root may write there all the same, but not everywhere.
    closed = next((str(p) for p in (tmp_path, "/proc/self", "/sys") if not os.access(p, os.W_OK)), None)
    if closed is None:
        pytest.skip("this user may write everywhere")
    with pytest.raises(OutputError, match=f"Cannot write to the output directory {closed}. Choose a directory"):
        files.make_directory(closed)


def test_listing_and_removing(tmp_path: Path) -> None:
    assert files.list_names(str(tmp_path / "gone")) == []
    for name in ("b", "a", ".c"):
        (tmp_path / name).write_text("x")
    assert files.list_names(str(tmp_path)) == [".c", "a", "b"]
    files.remove(str(tmp_path / "a"))
    files.remove(str(tmp_path / "a"))
    files.remove(str(tmp_path / "b" / "below"))
    assert files.list_names(str(tmp_path)) == [".c", "b"]
    (tmp_path / "folder").mkdir()
    files.remove(str(tmp_path / "folder"))
    assert not files.exists(str(tmp_path / "folder"))


def test_joining() -> None:
    assert files.join("a/", "b", "c") == "a/b/c"
    assert files.join("gs://bucket/", "b", "c") == "gs://bucket/b/c"
    assert files.is_remote("gs://bucket/b")
    assert not files.is_remote("/a/b")


# === Object stores ===


def test_object_store_reading_and_writing(object_store: dict[str, bytes]) -> None:
    path = "teststore://bucket/x.gz"
    assert not files.exists(path)
    files.make_directory("teststore://bucket")
    for data in (b"first", b"second"):
        files.write_atomically(path, data)
        assert object_store == {path: data}
        assert files.read(path) == data
    with files.open_read(path, 3) as stream:
        assert stream.read() == b"ond"
    assert files.exists(path)
    files.remove(path)
    files.remove(path)
    assert object_store == {}


def test_object_store_writer_that_fails_leaves_nothing(object_store: dict[str, bytes]) -> None:
    with pytest.raises(RuntimeError):
        write_half("teststore://bucket/x", RuntimeError())
    assert object_store == {}


def test_object_store_listing(object_store: dict[str, bytes]) -> None:
    for name in ("b.txt", "a.txt", "deep/er/d.txt", ".hidden", "_SUCCESS", ".blocks/run.json", "deep/_tmp/e.txt"):
        object_store[f"teststore://bucket/in/{name}"] = name.encode()
    below = "teststore://bucket/in/"
    for folder in (below, below.rstrip("/")):
        found = files.match([folder])
        assert [info.path.removeprefix(below) for info in found] == ["a.txt", "b.txt", "deep/er/d.txt"]
    assert files.match([below + "*.txt"]) == [FileInfo(below + "a.txt", 5), FileInfo(below + "b.txt", 5)]
    assert files.match([below + "a.txt", below + "_SUCCESS"])[0] == FileInfo(below + "_SUCCESS", 8)
    assert files.list_names(below) == [".hidden", "_SUCCESS", "a.txt", "b.txt"]
    assert files.list_names("teststore://bucket/none") == []
    with pytest.raises(InputError, match="at least one file"):
        files.match(["teststore://bucket/none"])


def test_object_store_missing_object(object_store: dict[str, bytes]) -> None:
    with pytest.raises(InputError, match="Cannot read teststore://bucket/x"):
        files.read("teststore://bucket/x")


def test_an_unknown_scheme_is_refused() -> None:
    path = "nonsense://bucket/x"
    for use in (files.read, files.exists, files.remove, files.list_names, lambda p: files.match([p])):
        with pytest.raises(ConfigError, match=r"The path has an unknown scheme\. Received: nonsense://bucket/x"):
            use(path)
    with pytest.raises(ConfigError, match="unknown scheme"):
        files.write_atomically(path, b"")


def test_a_path_that_its_file_system_refuses_is_not_called_an_unknown_scheme() -> None:
    cause = r"Cannot access s3://bucket\[/x\. Received: ValueError: Invalid IPv6 URL\. Check the path and .* s3://"
    for use in (files.read, files.exists, files.list_names, lambda path: files.match([path]), stores.Store):
        with pytest.raises(InputError, match=cause):
            use("s3://bucket[/x")


def test_files_that_are_named_like_globs(tmp_path: Path) -> None:
    for name in ("a.txt", "[a].txt", "b.txt", "*.text"):
        (tmp_path / name).write_text(name)
    (tmp_path / "[ab]").mkdir()
    (tmp_path / "[ab]" / "c.txt").write_text("c")

    def names(pattern: str) -> list[str]:
        return [Path(info.path).name for info in files.match([f"{tmp_path}/{pattern}"])]

    assert names("*.text") == ["*.text"]
    (tmp_path / "c.text").write_text("c")
    assert names("*.text") == ["*.text", "c.text"]
    assert names("[a].txt") == ["[a].txt", "a.txt"]
    assert names("[b].txt") == ["b.txt"]
    assert names("[ab]") == ["c.txt"]


def test_json_of_names_that_are_not_utf_8() -> None:
    value = {"path": "caf\udce9/漢字 \ud83d", "bytes": 1}
    data = files.json_bytes(value)
    assert json.loads(data.decode()) == value
    assert "漢字" in data.decode()


def test_what_cannot_be_told_is_no_no(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (loop, loop / "manifest.json", tmp_path / ("x" * 300)):
        for ask in (files.exists, files.list_names, files.infos):
            with pytest.raises(InputError, match=r"Cannot access .*(Too many levels|name too long)"):
                ask(str(path))
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    assert files.exists(str(tmp_path / "file"))
    for name in ("none", "none/none", "file/none", "dangling"):
        assert not files.exists(str(tmp_path / name))
        assert files.list_names(str(tmp_path / name)) == []


@pytest.mark.parametrize("ask", [files.exists, files.list_names, files.infos, files.info])
def test_a_store_that_does_not_answer_is_no_no(ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(self: Any, *_: Any, **__: Any) -> None:
        raise PermissionError("no key")

    for name in ("info", "ls", "find", "glob"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, name, silent)
    with pytest.raises(InputError, match=r"Cannot access memory://b/x.*PermissionError: no key"):
        ask("memory://b/x")


def test_checksums_of_stores(object_store: dict[str, bytes]) -> None:
    assert stores.checksum({"ETag": '"abc"', "size": 1}) == "abc"
    assert stores.checksum({"content_settings": {"content_md5": "xyz"}}) == "xyz"
    assert stores.checksum({"size": 1}) == ""
    object_store["teststore://b/x"] = b""
    assert [files.checksum(path) for path in ("teststore://b/x", "teststore://b/none", "local.txt")] == ["", "", ""]


def test_what_is_written_to_memory_is_seen_when_it_is_complete() -> None:
    with files.write_file("memory://bucket/a/x", lambda: check_absent("memory://bucket/a/x")) as writer:
        writer.write(b"12345")
    assert files.read("memory://bucket/a/x") == b"12345"
    assert files.read_range("memory://bucket/a/x", 1, 2) == b"23"
    assert [info.path for info in files.match(["memory://bucket/a"])] == ["memory://bucket/a/x"]
    with pytest.raises(RuntimeError):
        write_half("memory://bucket/a/half", RuntimeError())
    assert files.list_names("memory://bucket/a") == ["x"]
    files.remove("memory://bucket/a/x")


def check_absent(path: str) -> None:
    assert not files.exists(path)


def test_passing_faults_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks while a file is read: it is opened again where it was."""
    data, waits, broken = bytes(range(256)) * 20_000, [], [1, 3]
    files.write_atomically("memory://bucket/long", data)
    monkeypatch.setattr(stores.time, "sleep", waits.append)
    kind, reads = fsspec.implementations.memory.MemoryFile, itertools.count()

    def read(self: Any, size: int = -1) -> bytes:
        if next(reads) in broken:
            raise ConnectionResetError("gone")
        return io.BytesIO.read(self, size)

    monkeypatch.setattr(kind, "read", read)
    monkeypatch.setattr(kind, "close", lambda self: None)  # Memory files are those that are kept.
    with files.open_read("memory://bucket/long", 7) as stream:
        assert stream.read() == data[7:]
    assert waits == [1, 1]
    broken.extend(range(100))
    with (
        pytest.raises(InputError, match="Cannot read memory://bucket/long"),
        files.open_read("memory://bucket/long") as stream,
    ):
        stream.read()
    assert waits[2:] == [1, 2, 4]


def test_a_store_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(ConfigError, match=r"az:// needs a package that is not installed.*mlm-pipeline\[azure\]"):
        files.read("az://container/x")


def test_short_names_are_different() -> None:
    assert files.short_names(["out/general", "out/domain"]) == ("general", "domain")
    assert files.short_names(["a/corpus", "b/corpus/"]) == ("a/corpus", "b/corpus")
