"""Images of Debian packages that are installed here: no network, and a few seconds."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tarfile
from pathlib import Path

TIMEOUT_S = 120
_FIELDS = "${Package}\t${Version}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
# Written by packages' scripts, or links of the file system itself: no package lists them.
_MADE = (
    "/bin", "/sbin", "/lib", "/lib64", "/etc/passwd", "/etc/group", "/etc/shadow",
    "/etc/gshadow", "/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs",
    "/etc/nsswitch.conf", "/var/lib/dpkg/status",
)
_LEFT_OUT = re.compile(
    r"/usr/share/(doc|man|locale|info|lintian|bug)/|.*/(__pycache__|bitcode)/|.*/libLLVM")


class _Installed:
    """The packages of this machine and what they need."""

    def __init__(self) -> None:
        listed = _output("dpkg-query", "-W", "-f", _FIELDS)
        self.versions: dict[str, str] = {}
        self._needs: dict[str, str] = {}
        self._provided: dict[str, list[str]] = {}
        self.essential = []
        for line in listed.splitlines():
            name, version, essential, provides, needs = line.split("\t")
            self.versions[name], self._needs[name] = version, needs
            if essential == "yes":
                self.essential.append(name)
            for virtual in re.findall(r"[a-z0-9][a-z0-9+.-]+", provides):
                self._provided.setdefault(virtual, []).append(name)

    def closure(self, roots: tuple[str, ...]) -> list[str]:
        """The roots, what is essential, and whatever they depend on."""
        missing = [name for name in roots if name not in self.versions]
        assert not missing, f"not installed: {', '.join(missing)}"
        found: set[str] = set()
        left = [*roots, *self.essential]
        while left:
            name = left.pop()
            if name in found:
                continue
            found.add(name)
            for group in self._needs[name].split(","):
                for choice in group.split("|"):
                    wanted = re.match(r"\s*([a-z0-9][a-z0-9+.-]+)", choice)
                    there = wanted and self._real(wanted.group(1))
                    if there:
                        left.append(there)
                        break
        return sorted(found)

    def _real(self, name: str) -> str | None:
        return name if name in self.versions else next(iter(self._provided.get(name, ())), None)


def build(name: str, *packages: str) -> str:
    """Import an image `name:<hash of the packages>` unless it is there; returns its tag."""
    installed = _Installed()
    closure = installed.closure(packages)
    text = "\n".join(f"{package} {installed.versions[package]}" for package in closure)
    source = Path(__file__).read_bytes()
    tag = f"{name}:{hashlib.sha256(source + text.encode()).hexdigest()[:12]}"
    if subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False,
                      timeout=TIMEOUT_S).returncode == 0:
        return tag
    listed = _output("dpkg-query", "-L", *closure)
    listed_paths = {line for line in listed.splitlines() if line.startswith("/")} - {"/."}
    # Under the names of a merged /usr, through which no archive can be unpacked.
    paths = {f"{os.path.realpath(head)}/{tail}".replace("//", "/")
             for head, tail in map(os.path.split, listed_paths)}
    for made in map(Path, _MADE):
        paths.add(str(made))
        if made.is_dir() and not made.is_symlink():
            paths.update(map(str, made.rglob("*")))
    process = subprocess.Popen(["docker", "import", "-", tag], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL)
    with process:
        assert process.stdin is not None
        with tarfile.open(fileobj=process.stdin, mode="w|") as tar:
            for path in sorted(paths):
                there = Path(path).is_symlink() or Path(path).exists()
                if there and not _LEFT_OUT.match(path):
                    tar.add(path, recursive=False)
    assert process.returncode == 0
    return tag


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          timeout=TIMEOUT_S).stdout
