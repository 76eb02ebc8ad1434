"""Whether the disk has room for another run: a run that begins on a full disk is lost work."""

import shutil
from dataclasses import dataclass
from pathlib import Path

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """The free space of a folder's disk, and what new runs need of it, in bytes. Blocks."""

    folder: Path
    needed: int

    @classmethod
    def of_mib(cls, folder: Path, needed_mib: int) -> "DiskRoom":
        """The room of a folder, with the need in MiB."""
        return cls(folder, needed_mib * _MIB)

    @property
    def free(self) -> int:
        """The free space; raises OSError."""
        return shutil.disk_usage(self.folder).free

    @property
    def problem(self) -> str | None:
        """Why no run may begin, and what to do; None where there is room."""
        try:
            free = self.free
        except OSError as error:
            return f"The disk of {self.folder} cannot be read: {error.strerror or error}."
        if free >= self.needed:
            return None
        return (
            f"The disk of {self.folder} has {free // _MIB} MiB free, and runs need "
            f"{self.needed // _MIB}; runs wait until there is room."
        )
