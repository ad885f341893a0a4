"""The persistent compilation cache: executables on disk, shared by processes.

On when the option `jax_compilation_cache_dir` names a directory. An entry is keyed by all that decides what XLA makes
of a program: its text, the compile options and XLA_FLAGS, jaxlib's release, the platform, the kind of device and, on
CPU, the host's instruction set. Entries appear whole or not at all (written beside, then renamed), and when the
directory outgrows `jax_compilation_cache_max_size` those unused for longest go first. A cache that fails never fails a
program: it warns and compiles, unless `jax_raise_persistent_cache_errors` is set.
"""

import contextlib
import hashlib
import os
import platform
import re
import tempfile
import threading
import warnings
import zlib

from .options import options

_SUFFIX = ".cyxla"
_MAGIC = b"cyxla1\n"
# Environment variables that reach XLA past the compile options.
_FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")


class Statistics:
    """Counters of the persistent cache."""

    __slots__ = ("evictions", "hits", "misses", "stores")

    def __init__(self):
        self.clear()

    def clear(self):
        self.hits = self.misses = self.stores = self.evictions = 0


statistics = Statistics()
_lock = threading.Lock()
_machine: list = []


def info():
    """The CacheInfo of the directory; the bytes count what is there now, other processes' entries too."""
    from cyxla._engine.caches import CacheInfo

    entries = size = 0
    if is_enabled():
        with contextlib.suppress(OSError), os.scandir(options.compilation_cache_dir) as files:
            for file in files:
                if file.name.endswith(_SUFFIX):
                    entries += 1
                    size += file.stat().st_size
    limit = options.compilation_cache_max_size
    return CacheInfo(
        entries,
        limit if limit and limit > 0 else None,
        size,
        statistics.hits,
        statistics.misses,
        statistics.evictions,
        "least recently used first",
    )


def is_enabled():
    """Whether compilations look into the cache."""
    return options.compilation_cache_dir is not None and options.enable_compilation_cache


def _instruction_set():
    """What tells this host's CPU from others for which compiled code would not run here."""
    if not _machine:
        features = platform.processor()
        try:
            with open("/proc/cpuinfo") as file:
                found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", file.read(), re.MULTILINE)
            if found:
                features += " ".join(sorted(found.group(1).split()))
        except OSError:
            pass
        _machine.append(f"{platform.system()} {platform.machine()} {features}")
    return _machine[0]


def key(name, module_text, devices, compile_options):
    """The file name of a program's entry."""
    from . import xla

    digest = hashlib.sha256()
    client = devices[0].client
    parts = [
        module_text,
        compile_options.SerializeAsString(),
        repr(xla.JAXLIB_VERSION).encode(),
        client.platform.encode(),
        client.platform_version.encode(),
        "|".join(device.device_kind for device in devices).encode(),
        *(os.environ.get(flag, "").encode() for flag in _FLAGS),
    ]
    if client.platform == "cpu":
        parts.append(_instruction_set().encode())
    for part in parts:
        # The length first, so that no two lists of parts run together to the same bytes.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return f"{re.sub(r'[^A-Za-z0-9_.]', '_', name)[:80]}-{digest.hexdigest()}{_SUFFIX}"


def _failed(action, error):
    if options.raise_persistent_cache_errors:
        raise
    warnings.warn(
        f"the persistent compilation cache in {options.compilation_cache_dir!r} could not {action}: "
        f"{type(error).__name__}: {error}",
        RuntimeWarning,
        stacklevel=3,
    )


def load(entry, client, device_list, compile_options):
    """The executable of an entry, or None."""
    path = os.path.join(options.compilation_cache_dir, entry)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        statistics.misses += 1
        return None
    except OSError as error:
        statistics.misses += 1
        _failed("read an entry", error)
        return None
    try:
        if not data.startswith(_MAGIC):
            raise ValueError(f"{path} is not an entry of this cache")
        executable = client.deserialize_executable(zlib.decompress(data[len(_MAGIC) :]), device_list, compile_options)
    except Exception as error:
        statistics.misses += 1
        _failed(f"load {entry}", error)
        return None
    statistics.hits += 1
    with contextlib.suppress(OSError):
        # The modification time is the time of last use, by which entries are evicted.
        os.utime(path)
    return executable


def store(entry, client, executable, seconds):
    """Writes an executable that took so many seconds to compile, if it took long enough and is large enough."""
    if seconds < options.persistent_cache_min_compile_time_secs:
        return
    directory = options.compilation_cache_dir
    temporary = None
    try:
        data = _MAGIC + zlib.compress(client.serialize_executable(executable), 1)
        limit = options.compilation_cache_max_size
        if len(data) < options.persistent_cache_min_entry_size_bytes or -1 < limit < len(data):
            return
        os.makedirs(directory, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, suffix=".tmp", delete=False) as file:
            temporary = file.name
            file.write(data)
        with _lock:
            if limit > -1:
                _evict(directory, limit - len(data))
            os.replace(temporary, os.path.join(directory, entry))
        statistics.stores += 1
    except Exception as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        _failed(f"write {entry}", error)


def _entries(directory):
    """(time of last use, size, path) of each entry, the longest unused first. Other processes may remove some."""
    found = []
    try:
        listing = list(os.scandir(directory))
    except FileNotFoundError:
        return found
    for item in listing:
        if item.name.endswith(_SUFFIX):
            try:
                status = item.stat()
            except FileNotFoundError:
                continue
            found.append((status.st_mtime_ns, status.st_size, item.path))
    found.sort()
    return found


def _evict(directory, room):
    entries = _entries(directory)
    total = sum(size for _, size, _ in entries)
    for _, size, path in entries:
        if total <= room:
            break
        try:
            os.unlink(path)
            statistics.evictions += 1
        except FileNotFoundError:
            pass
        total -= size


def size():
    """Number of entries in the cache directory, and their bytes."""
    if options.compilation_cache_dir is None:
        return 0, 0
    entries = _entries(options.compilation_cache_dir)
    return len(entries), sum(size for _, size, _ in entries)


def clear():
    """Removes all entries of this cache from its directory; other files stay."""
    if options.compilation_cache_dir is None:
        return
    for _, _, path in _entries(options.compilation_cache_dir):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
