"""Zips a folder so that the same files give the same bytes, and says what an executable asks of its C library.

Usage: pack.py zip FOLDER ZIP | pack.py unzip ZIP FOLDER | pack.py glibc EXECUTABLE
"""

import re
import sys
import zipfile
from pathlib import Path

# The oldest time that a zip can hold: files carry no time of their own.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def pack(folder: Path, target: Path) -> None:
    """Zips every file of the folder, in the order of their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w") as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            # As Unix writes it: elsewhere the executable bit would not arrive.
            entry.create_system = 3
            mode = 0o100755 if path.stat().st_mode & 0o100 else 0o100644
            entry.external_attr = mode << 16
            archive.writestr(entry, path.read_bytes(), compresslevel=9)


def unpack(source: Path, folder: Path) -> None:
    """Unzips with the modes that the zip says, which Python's own way would not keep."""
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, folder))
            path.chmod((entry.external_attr >> 16) & 0o777)


def highest_glibc(executable: Path) -> str:
    """The highest version of a glibc symbol that the executable names; empty where it names none."""
    found = re.findall(rb"\0GLIBC_(\d+(?:\.\d+)+)(?=\0)", executable.read_bytes())
    versions = {tuple(map(int, version.decode().split("."))) for version in found}
    return ".".join(map(str, max(versions, default=())))


def main() -> None:
    match sys.argv[1:]:
        case ["zip", folder, target]:
            pack(Path(folder), Path(target))
        case ["unzip", source, folder]:
            unpack(Path(source), Path(folder))
        case ["glibc", executable]:
            print(highest_glibc(Path(executable)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
