import errno
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from worldsim.data import DataError
from worldsim.data.shards import ShardWriter, check_name, read_index, read_members, scan_tar
from worldsim.scene.files import atomic_file, remove_stale, temporary_name, write_bytes


def write(path, samples=2):
    with ShardWriter(path) as writer:
        for i in range(samples):
            writer.add(f"{i:09d}", {"a.json": b"{}" * i, "video.mp4": bytes(range(256)) * (i + 1)}, {"seed": i})
    return path


def test_a_shard_is_a_plain_tar_that_its_index_describes(tmp_path):
    path = write(tmp_path / "shard-00000.tar", 3)
    with tarfile.open(path) as tar:
        names = tar.getnames()
        assert names[:2] == ["000000000.a.json", "000000000.video.mp4"]
        assert all((m.mtime, m.uid, m.gid, m.uname) == (0, 0, 0, "") for m in tar.getmembers())
    index = read_index(path)
    assert index.size == path.stat().st_size
    for sample in index.samples:
        members = read_members(path, sample, list(sample.members))
        with tarfile.open(path) as tar:
            for name, data in members.items():
                assert tar.extractfile(f"{sample.key}.{name}").read() == data
    scanned = scan_tar(path)
    assert [s.members for s in scanned.samples] == [s.members for s in index.samples]
    assert scanned.sha256 == index.sha256


def test_same_samples_same_bytes(tmp_path):
    (tmp_path / "x").mkdir()
    a, b = write(tmp_path / "shard.tar"), write(tmp_path / "x" / "shard.tar")
    assert a.read_bytes() == b.read_bytes()
    assert a.with_suffix(".json").read_bytes() == b.with_suffix(".json").read_bytes()


def test_a_shard_exists_only_once_whole(tmp_path):
    path = tmp_path / "shard.tar"

    def broken():
        with ShardWriter(path) as writer:
            writer.add("0", {"a": b"1"}, {})
            assert not path.exists()
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    path = write(tmp_path / "shard.tar")
    whole = path.read_bytes()
    sample = read_index(path).samples[1]
    for place in sample.members.values():
        if not place.size:
            continue
        damaged = bytearray(whole)
        damaged[place.offset + place.size // 2] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"shard\.tar: 000000001\..*sha256.*run the command that made it again"):
            read_members(path, sample, list(sample.members))


def test_truncation_and_disagreement_are_found(tmp_path):
    path = write(tmp_path / "shard.tar")
    whole, index = path.read_bytes(), path.with_suffix(".json").read_text()
    path.write_bytes(whole[:-600])
    with pytest.raises(DataError, match="truncated"):
        read_index(path)
    with pytest.raises(DataError, match=r"shard\.tar: must"):
        scan_tar(path)
    path.write_bytes(whole)
    moved = json.loads(index)
    moved["samples"][0]["members"]["video.mp4"]["offset"] += 1
    path.with_suffix(".json").write_text(json.dumps(moved))
    with pytest.raises(DataError, match="has changed since"):
        read_members(path, read_index(path).samples[0], ["video.mp4"])
    for text, rule in (
        (index[:-30], "must be JSON"),
        ("{}", "worldsim.shard"),
        (index.replace('"size"', '"sz"'), "index of"),
    ):
        path.with_suffix(".json").write_text(text)
        with pytest.raises(DataError, match=rf"shard\.json.*{rule}"):
            read_index(path)
    path.with_suffix(".json").write_text(index.replace('"version":1', '"version":2'))
    with pytest.raises(DataError, match="upgrade"):
        read_index(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(DataError, match=r"shard\.json: must lie beside its shard, is missing"):
        read_index(path)


@pytest.mark.parametrize("name", ["../x.json", "/etc/x", "a/../../x", "..\\x", "C:x", ""])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="must stay inside the shard"):
        check_name(name, "file")
    path = write(tmp_path / "shard.tar")
    document = json.loads(path.with_suffix(".json").read_text())
    for change in ({"shard": name}, {"samples": [{"key": "0", "members": {name: {}}, "facts": {}}]}):
        path.with_suffix(".json").write_text(json.dumps({**document, **change}))
        with pytest.raises(DataError, match="must stay inside the shard"):
            read_index(path)
    if name:
        with tarfile.open(path, "w") as tar:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
        with pytest.raises(DataError, match="must stay inside the shard"):
            scan_tar(path)


def test_links_in_a_tar_are_refused(tmp_path):
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("0.video.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match="plain files only"):
        scan_tar(path)


def test_stale_files_of_killed_writers_are_removed(tmp_path):
    temporary_name(tmp_path / "shard.tar").write_bytes(b"half")
    (tmp_path / "shard.tar").write_bytes(b"whole")
    assert remove_stale(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["shard.tar"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_error_with_the_remedy(tmp_path):
    # The temporary name leads to a device that the kernel answers with ENOSPC.
    temporary_name(tmp_path / "x.json").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"x\.json: must fit on its disk.*free space"):
        write_bytes(tmp_path / "x.json", b"data" * 100_000)
    temporary_name(tmp_path / "s.tar").symlink_to("/dev/full")

    def shard():
        with ShardWriter(tmp_path / "s.tar") as writer:
            writer.add("0", {"a": bytes(100_000)}, {})

    with pytest.raises(DataError, match=r"s\.tar: must fit on its disk"):
        shard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_size_limit_while_a_data_set_is_made(tmp_path):
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from worldsim.data.shards import ShardWriter;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "with ShardWriter(sys.argv[1]) as w:\n"
        "    for i in range(99): w.add(str(i), {'a': bytes(9000)}, {})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.tar")], capture_output=True, text=True)
    assert "DataError" in done.stderr
    assert "free space" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_other_write_errors_keep_their_name(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "no" / "x.json") as file:
        file.write(b"")
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=os.strerror(errno.EISDIR)):
        write_bytes(tmp_path / "folder", b"x")
