"""The archive by which Docker gets secrets that are files, and who may read them."""

from __future__ import annotations

import io
import tarfile

import pytest

from cluster.engine.docker_files import END, MTIME_S, archive


@pytest.mark.parametrize(("user", "mode", "uid", "gid"), [
    ("", 0o400, 0, 0), ("0", 0o400, 0, 0), ("1000", 0o400, 1000, 0),
    ("1000:2000", 0o400, 1000, 2000), ("1000:staff", 0o400, 1000, 0),
    ("nginx", 0o444, 0, 0), ("nginx:1000", 0o444, 0, 0),
])
def test_files_are_for_the_user_whose_number_is_known(
    user: str, mode: int, uid: int, gid: int
) -> None:
    """Else all users of the container may read them; nobody but root may write."""
    files = (("pw", "é"), ("empty", ""), ("long", "x" * 65_536))
    whole = archive(files, user) + END
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == ["pw", "empty", "long"]
        for member, (_, text) in zip(members, files, strict=True):
            assert (member.mode, member.uid, member.gid, member.mtime) == (
                mode, uid, gid, MTIME_S)
            found = tar.extractfile(member)
            assert found is not None
            assert found.read() == text.encode()


def test_the_end_is_held_back() -> None:
    """Docker goes on unpacking as long as it has not come."""
    begin = archive((("pw", "x"),), "")
    assert len(begin) == 2 * tarfile.BLOCKSIZE
    assert not begin.endswith(END)
