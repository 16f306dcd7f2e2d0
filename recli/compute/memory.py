"""Available memory, so that a job that cannot fit fails at its start."""

import os
from pathlib import Path

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


def available_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Bytes that can be used without swapping: the machine's, or a container's limit; None where unknown."""
    limits = [_of_machine(proc), _of_cgroup(proc, cgroups)]
    return min((number for number in limits if number is not None), default=None)


def _of_machine(proc: Path) -> int | None:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    try:  # no Linux: what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _of_cgroup(proc: Path, cgroups: Path) -> int | None:
    """What this process's control groups leave, versions 1 and 2; None where they set no limit."""
    left: list[int] = []
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, limit, usage = cgroups, "memory.max", "memory.current"
        elif controllers == "memory":
            folder, limit, usage = cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        own_group = folder / path.lstrip("/")
        # Every ancestor limits too; in a container the path may be the host's and only the root be there.
        for group in (own_group, *own_group.parents):
            most, used = (_number(group / name) for name in (limit, usage))
            if most is not None and used is not None:
                left.append(max(0, most - used + _cache(group)))
            if group == folder:
                break
    return min(left, default=None)


def _cache(group: Path) -> int:
    """Bytes of inactive page cache: counted as used, but reclaimed when memory is needed."""
    fields = dict(line.split() for line in _lines(group / "memory.stat"))
    return int(fields.get("total_inactive_file", fields.get("inactive_file", 0)))


def _number(file: Path) -> int | None:
    text = "".join(_lines(file)).strip()
    return int(text) if text.isdigit() else None  # "max": no limit


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # missing, or not readable
        return []
