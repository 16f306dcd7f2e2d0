"""Opens inputs (files, globs, stdin), decompresses them, and yields blocks of whole lines."""

from __future__ import annotations

import codecs
import glob
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from recli.data.readers import digests
from recli.errors import InvalidDataError, RecliError, UsageError, near_file

STDIN = "-"
BLOCK = 16 << 20  # bytes of decompressed text parsed at once
MAX_LINE = 64 << 20  # a longer "line" is no text: refused before it fills the memory
_READ = 1 << 18  # small, as gzip may unpack a thousandfold
_PARQUET = b"PAR1"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_EXTENSIONS = {
    ".csv": "csv", ".tsv": "csv", ".tab": "csv", ".dat": "csv", ".inter": "csv", ".item": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
_PACKED = {
    b"PK\x03\x04": "a ZIP archive or spreadsheet",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf": "7-Zip",
}


class _Decoder(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True)
class Source:
    """One input: a file, or stdin (`path` None)."""

    path: Path | None

    @property
    def name(self) -> str:
        """The base name, as in messages and the rejects; never a whole path."""
        return "stdin" if self.path is None else self.path.name

    def __str__(self) -> str:
        return "stdin" if self.path is None else str(self.path)

    def open(self) -> BinaryIO:
        if self.path is not None and self.path.is_file():
            return self.path.open("rb")
        return digests.read_once(str(self), sys.stdin.buffer if self.path is None else self.path.open("rb"))


def expand(sources: Sequence[str]) -> list[Source]:
    """The inputs behind names, globs (sorted) and `-`. Raises `RecliError` where there is none."""
    expanded: list[Source] = []
    for text in sources:
        if text == STDIN:
            expanded.append(Source(None))
        elif Path(text).is_dir():
            raise RecliError(
                f"{text} is a directory", f"name its files, for example: '{text.rstrip('/')}/*.csv'"
            )
        elif Path(text).exists():
            expanded.append(Source(Path(text)))
        else:
            names = glob.glob(text, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
            matches = [Path(name) for name in sorted(names) if Path(name).is_file()]
            if not matches:
                kind = "no file matches" if glob.has_magic(text) else "there is no file"
                near = near_file(text)
                hint = f"did you mean {near}?" if near else "check the name (and the working directory)"
                raise RecliError(f"{kind} {text}", hint)
            expanded += map(Source, matches)
    if not expanded:
        raise UsageError("no input file is named")
    twice = [str(s) for i, s in enumerate(expanded) if s in expanded[:i]]
    if twice:
        raise UsageError(f"{twice[0]} is named twice", "its rows would count twice: name it once")
    return expanded


class Stream:
    """A source's bytes, decompressed, with the first of them known: what they look like decides the format."""

    def __init__(self, source: Source, encoding: str = "utf-8") -> None:
        self.source = source
        self._chunks = _with_newlines(_as_utf8(_decompressed(source), encoding))
        self._first = b""
        for chunk in self._chunks:  # enough to see magic bytes, separators and a header
            self._first += chunk
            if len(self._first) >= 1 << 16:
                break
        self._first = _without_mark(self._first, source)

    @property
    def head(self) -> bytes:
        return self._first

    def format(self) -> str:
        """`csv`, `jsonl` or `parquet`: by the magic bytes, the extension, the first character."""
        if self._first.startswith(_PARQUET):
            return "parquet"
        path = self.source.path
        suffixes = (
            [] if path is None else [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".zst")]
        )
        if suffixes and suffixes[-1] in _EXTENSIONS:
            return _EXTENSIONS[suffixes[-1]]
        return "jsonl" if self._first.lstrip()[:1] in (b"{", b"[") else "csv"

    def read(self) -> bytes:
        """All of it."""
        return b"".join([self._first, *self._chunks])

    def blocks(self) -> Iterator[tuple[bytes, bool]]:
        """Blocks of about `BLOCK` bytes that end at a line's end, and whether it is the last one."""
        held, size = [self._first], len(self._first)
        for chunk in self._chunks:
            held.append(chunk)
            size += len(chunk)
            if size < BLOCK:
                continue
            data = b"".join(held)
            end = data.rfind(b"\n") + 1
            if end == 0:
                if size > MAX_LINE:
                    raise InvalidDataError(
                        f"{self.source}: a line is longer than {MAX_LINE >> 20} MB", "is this a text file?"
                    )
                held = [data]
                continue
            yield data[:end], False
            held, size = [data[end:]], len(data) - end
        yield b"".join(held), True


def _decompressed(source: Source) -> Iterator[bytes]:
    file = source.open()
    try:
        first = file.read(_READ)
        while 0 < len(first) < 8 and (more := file.read(_READ)):  # a pipe may give a byte at a time
            first += more
        for magic, what in _PACKED.items():
            if first.startswith(magic):
                raise InvalidDataError(
                    f"{source} is {what}", "unpack it first (.gz and .zst are read as they are)"
                )
        if first.startswith((_GZIP, _ZSTD)):
            yield from _unpacked(source, first, file)
            return
        while first:
            yield first
            first = file.read(_READ)
    finally:
        if source.path is not None:  # stdin stays open
            file.close()


def _decoder(gzip: bool) -> tuple[_Decoder, type[Exception]]:
    """A fresh decoder, and what it raises on damaged data."""
    if gzip:
        return zlib.decompressobj(wbits=31), zlib.error
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(), zstandard.ZstdError


def _unpacked(source: Source, data: bytes, file: BinaryIO) -> Iterator[bytes]:
    """Decompress gzip or zstd, also of several members; a damaged or cut file is an error, not a shorter log."""
    gzip = data.startswith(_GZIP)
    decoder, damage = _decoder(gzip)
    try:
        while data:
            out = decoder.decompress(data)
            if out:
                yield out
            data = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                data = (data or file.read(_READ)).lstrip(b"\0")  # zero padding is allowed after a member
                decoder = _decoder(gzip)[0] if data else decoder
            else:
                data = file.read(_READ)
    except damage as error:
        raise InvalidDataError(f"{source} is damaged: {error}", "fetch or make it again") from None
    if not decoder.eof:
        raise InvalidDataError(
            f"{source} is cut off: its compressed data ends early", "fetch or make it again"
        )


def _as_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Text in UTF-8; bytes that the encoding does not have stay as they are, to be rejected with their line."""
    if codecs.lookup(encoding).name == "utf-8":
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogateescape")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogateescape")


def _with_newlines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines that end in a carriage return alone (old Macs, some spreadsheets) end in a newline."""
    first = next(chunks, b"")
    alone = b"\r" in first[:-1] and b"\n" not in first and not first.startswith(_PARQUET)
    yield first.replace(b"\r", b"\n") if alone else first
    for chunk in chunks:
        yield chunk.replace(b"\r", b"\n") if alone else chunk


def _without_mark(first: bytes, source: Source) -> bytes:
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or first[1:8:2] == bytes(4) or first[:8:2] == bytes(4):
        raise InvalidDataError(
            f"{source} is in UTF-16", "say so: --encoding utf-16 (of a catalogue: --items-encoding utf-16)"
        )
    return first.removeprefix(b"\xef\xbb\xbf")
