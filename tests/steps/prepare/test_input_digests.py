"""The manifest says which bytes a run was prepared from."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from recli.data.readers import digests, streams
from recli.storage import parts

Recli = Callable[..., tuple[int, str, str]]


def test_the_sha256_of_every_input_is_in_the_manifest(tmp_path: Path, recli: Recli) -> None:
    rows = [f"u{u},i{i},{u * 9 + i}" for u in range(6) for i in range(8)]
    logs = []
    for folder, half in (("a", rows[::2]), ("b", rows[1::2])):
        logs.append(tmp_path / folder / "log.csv")
        logs[-1].parent.mkdir()
        logs[-1].write_text("user_id,item_id,timestamp\n" + "\n".join(half) + "\n")
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\n" + "".join(f"i{i},Title {i}\n" for i in range(8)))
    recli("prepare", *logs, "--items", items, "--out", tmp_path / "run", "-q")
    files = {"log/log.csv": logs[0], "log/log.csv (2)": logs[1], "items/items.csv": items}
    expected = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert parts.open_part(tmp_path / "run" / "interactions", "interactions").inputs == expected


def test_a_pipe_is_digested_as_it_is_read(tmp_path: Path) -> None:
    pipe, data = tmp_path / "pipe", b"user_id,item_id\n" + b"a,b\n" * 100_000
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    assert streams.Stream(streams.Source(pipe)).read() == data
    writer.join()
    assert digests.input_digests("log", [str(pipe)]) == {"log/pipe": hashlib.sha256(data).hexdigest()}
