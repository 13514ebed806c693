"""What `merflow doctor` looks at: this installation, this machine, and what a run would check before it begins."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from packaging.requirements import Requirement

from configs.errors import MerflowError, RunError
from configs.home import VARIABLE, home, host_name
from configs.paths import is_remote
from configs.schema import RunConfig
from extractors.core.extractor import Extractor
from flows.machine import default_workers, file_system_of, memory_of_machine, visible_gpus
from flows.plan import build_extractors, make_plan
from flows.prefect_server import check_prefect, running_server
from flows.preflight import (
    check_crops,
    check_devices,
    check_media,
    check_place,
    check_space,
    check_versions,
    estimated_bytes,
    nearest_folder,
)
from storage.manifest import Manifest
from storage.store.files import exists
from storage.store.layout import marker_path
from storage.store.leases import check_claims
from storage.store.runs import live_run
from storage.store.store import FeatureStore
from storage.store.survey import Survey

NETWORK_KINDS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "sshfs", "s3fs", "9p")
LIBRARIES = {
    "torch": "torch", "torchvision": "torchvision", "transformers": "transformers", "opensmile": "opensmile",
    "py-feat": "feat", "av": "av", "h5py": "h5py", "prefect": "prefect", "dask": "distributed", "timm": "timm",
}  # fmt: skip
FEW_FILES = 1024
WORKER_GIB = 2.0


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: Of what.
        state: `ok`; `note` for what may surprise; `bad` for what would end a run.
        found: What was found and, where it is not as it should be, what to do.
    """

    name: str
    state: str
    found: str


def examine(config: RunConfig | None, manifest: Manifest | None, store: Path | None) -> Iterator[Check]:
    """Look at everything, one after the other; nothing is changed.

    Args:
        config: A run configuration, whose weights and space are looked at too.
        manifest: Clips, whose media folders are looked at too.
        store: Folder of a store, which need not exist.
    """
    yield _asked("python", _python)
    yield _asked("libraries", _libraries)
    yield _asked("names", _names)
    yield _asked("home", _home)
    yield _asked("file locks", lambda: _locks(home()))
    yield _asked("ports", _ports)
    yield _asked("prefect", _prefect)
    yield _asked("open files", _open_files)
    yield _asked("workers", _workers)
    extractors: list[Extractor[Any]] = []  # none where one of them cannot be built
    if config is not None:
        yield _asked("weights", lambda: _weights(config, extractors))
    yield _asked("devices", lambda: check_devices(extractors))
    if manifest is not None:
        yield _asked("media", lambda: check_media(manifest, np.arange(len(manifest))))
        yield _asked("released crops", lambda: check_crops(extractors, manifest, np.arange(len(manifest))))
    if store is not None:
        yield from _store(store, extractors)


def _asked(name: str, look: Callable[[], str]) -> Check:
    try:
        found = look()
    except _Note as note:
        return Check(name, "note", str(note))
    except (MerflowError, OSError) as error:
        return Check(name, "bad", str(error))
    return Check(name, "ok", found)


class _Note(Exception):  # noqa: N818  # no error: something a person should know
    """Something that may surprise."""


def _python() -> str:
    return f"merflow {version('merflow')}, Python {platform.python_version()} on {platform.platform()}"


def _libraries() -> str:
    """Import what has compiled parts: a wheel for another machine is found here and not in the night."""
    for text in requires("merflow") or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            has = version(requirement.name)
            if not requirement.specifier.contains(has, prereleases=True):
                raise RunError(
                    f"{requirement.name} is {has}, merflow needs {requirement.specifier}; run `make install`"
                )
    found = []
    for name, module in LIBRARIES.items():
        try:
            importlib.import_module(module)
            found.append(f"{name} {version(name)}")
        except (ImportError, OSError, PackageNotFoundError, RuntimeError) as error:
            raise RunError(
                f"{name} cannot be loaded on this machine ({error}); install what requirements.lock names, "
                f"with `make install`, on the machine that is to use it"
            ) from error
    return ", ".join(found)


def _names() -> str:
    """Other packages may have modules called flows, storage, ...: the first one on the path counts."""
    names = ("configs", "storage", "extractors", "flows")
    ours = Path(__file__).parents[1]
    owners = packages_distributions()
    for name in names:
        found = importlib.util.find_spec(name)
        where = Path(str(found.origin if found else "")).parent.parent
        others = sorted(set(owners.get(name, ())) - {"merflow"})
        if where != ours or others:
            by = f"the package {others[0]}" if others else str(where)
            raise RunError(
                f"`{name}` also comes from {by}; install merflow in an environment of its own, and do not start it "
                f"in a folder with files of these names"
            )
    return f"{', '.join(names)} are merflow's own"


def _is_shared(path: Path) -> bool:
    return any(kind in file_system_of(path).lower() for kind in NETWORK_KINDS)


def _home() -> str:
    folder = home()
    try:
        check_place(folder)
    except RunError as error:
        raise _Note(f"{error}; each run uses a temporary one, or set {VARIABLE} to a folder of yours") from error
    if _is_shared(folder):
        raise _Note(
            f"{folder} is on a network file system ({file_system_of(folder)}): Prefect's database is slow there; set "
            f"{VARIABLE} to a local folder. Machines keep their state apart ({host_name()})"
        )
    return f"{folder} ({file_system_of(folder) or 'unknown file system'})"


def _locks(folder: Path) -> str:
    existing = nearest_folder(folder)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".tmp-merflow-doctor-", dir=existing) as path,
            FileLock(Path(path) / "lock", timeout=5),
        ):
            return f"work in {existing}"
    except (Timeout, NotImplementedError, OSError) as error:
        raise RunError(
            f"{existing}: file locks do not work here ({error}); set {VARIABLE} to a local folder"
        ) from error


def _ports() -> str:
    with socket.socket() as opened:
        try:
            opened.bind(("127.0.0.1", 0))
            opened.listen(1)
            port = opened.getsockname()[1]
            socket.create_connection(("127.0.0.1", port), timeout=3).close()
        except OSError as error:
            raise RunError(
                f"nothing can listen on 127.0.0.1 ({error}); Prefect's server and Dask need that: look at the "
                f"firewall, or at the container's network"
            ) from error
    proxy = next((n for n in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY") if os.environ.get(n)), None)
    direct = os.environ.get("no_proxy", "") + os.environ.get("NO_PROXY", "")
    if proxy and "127.0.0.1" not in direct and direct != "*":
        raise RunError(f"{proxy} is set and would be asked for 127.0.0.1; set no_proxy=127.0.0.1,localhost")
    return "this machine can talk to itself"


def _prefect() -> str:
    given = check_prefect()
    if given:
        return f"PREFECT_API_URL names {given}, which answers"
    own = running_server()
    return f"merflow's own server runs at {own}" if own else "a run starts a server of its own, and stops it"


def _open_files() -> str:
    if sys.platform == "win32":
        return "no limit is known"
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FEW_FILES:
        raise _Note(f"at most {soft} at once; `ulimit -n {min(4096, hard) if hard > 0 else 4096}` allows more workers")
    return f"at most {soft} at once"


def _workers() -> str:
    count, memory = default_workers(), memory_of_machine() / 2**30
    said = f"{count} by default ({len(visible_gpus())} GPUs, {os.cpu_count()} cores, {memory:.1f} GiB of memory)"
    if memory / count < WORKER_GIB:
        raise _Note(f"{said}; under {WORKER_GIB:.0f} GiB each: long or large clips may end as out_of_memory")
    return said


def _weights(config: RunConfig, extractors: list[Extractor[Any]]) -> str:
    """Build the extractors, which looks for their weights."""
    extractors += build_extractors(config)
    loaded = [e for e in extractors if e.weights is not None]
    random = [e.feature for e in loaded if e.spec.synthetic]
    if random:
        raise _Note(f"random weights for {', '.join(random)}: such features mean nothing")
    return f"found for {', '.join(e.feature for e in loaded)}" if loaded else "none are needed"


def _store(path: Path, extractors: Sequence[Extractor[Any]]) -> Iterator[Check]:
    yield _asked("store", lambda: check_place(path))
    yield _asked("store's locks", lambda: _exclusive(path))
    if not exists(marker_path(path)):
        yield _asked("space", lambda: check_space(path))
        return
    store = FeatureStore(path)
    if extractors:
        yield _asked("recipes", lambda: _recipes(store, extractors))
        yield _asked("versions", lambda: check_versions(store, extractors))
    survey = Survey(store)
    everything = np.ones(len(survey.columns), np.bool_)
    plan = make_plan(survey, extractors, everything) if extractors else None
    needed = estimated_bytes(extractors, plan, survey) if plan is not None else 0
    yield _asked("space", lambda: check_space(path, needed))
    yield _asked("other runs", lambda: _other_runs(store))


def _recipes(store: FeatureStore, extractors: Sequence[Extractor[Any]]) -> str:
    for extractor in extractors:
        store.require(extractor.spec)
    return "the store's features have the configuration's settings, or are not there yet"


def _exclusive(path: Path) -> str:
    """Leases are files that only one of two processes can create, or objects that all see as soon as they are there."""
    if is_remote(path):
        check_claims(path)
        return f"{path}: what is written is listed at once: runs can share the work"
    folder = nearest_folder(path)
    kind = file_system_of(folder)
    with tempfile.TemporaryDirectory(prefix=".tmp-merflow-doctor-", dir=folder) as made:
        file = Path(made) / "lease"
        file.touch(exist_ok=False)
        try:
            file.touch(exist_ok=False)
        except FileExistsError:
            return f"{folder} ({kind or 'unknown file system'}): runs can share the work"
    raise RunError(f"{folder} ({kind}): two runs could create one file; do not start two runs on a store here")


def _other_runs(store: FeatureStore) -> str:
    run = live_run(store.runs())
    if run is None:
        return "none is going on"
    by = run.get("owner", {})
    return f"{run['run']} is going on (host {by.get('host')}, process {by.get('pid')}); another one shares its work"
