"""The sealed record's files in a bucket: what an object store adapter has to be, shown on pyarrow's S3."""

from __future__ import annotations

from pyarrow import ArrowException, fs

from regime_trading.core.errors import BadInput, NotDurable


class BucketFiles:
    """``SealedFiles`` under one prefix of a bucket. A file is written by a single PUT (a large one by a multipart
    upload), which replaces it in one step and is durable when it returns: there is nothing to fsync or to rename.

    Parameters
    ----------
    filesystem : pyarrow.fs.FileSystem
    prefix : str
        Bucket and folder.
    """

    def __init__(self, filesystem: fs.FileSystem, prefix: str) -> None:
        self._fs, self._prefix = filesystem, prefix

    def write_bytes(self, relative: str, data: bytes) -> None:
        try:
            with self._fs.open_output_stream(self._path(relative)) as stream:
                stream.write(data)
        except (OSError, ArrowException) as err:
            raise NotDurable(f"{relative}: {err}") from err

    def read_bytes(self, relative: str) -> bytes:
        try:
            with self._fs.open_input_stream(self._path(relative)) as stream:
                return bytes(stream.read())
        except (OSError, ArrowException) as err:
            raise BadInput(expected="a readable file", found=str(err), where=relative) from err

    def exists(self, relative: str) -> bool:
        return bool(self._fs.get_file_info(self._path(relative)).type == fs.FileType.File)

    def names(self, folder: str) -> tuple[str, ...]:
        found = self._fs.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        return tuple(sorted(f"{folder}/{item.base_name}" for item in found if item.type == fs.FileType.File))

    def remove(self, relative: str) -> None:
        try:
            if self.exists(relative):
                self._fs.delete_file(self._path(relative))
        except (OSError, ArrowException) as err:
            raise NotDurable(f"{relative}: {err}") from err

    def _path(self, relative: str) -> str:
        return f"{self._prefix}/{relative}"
