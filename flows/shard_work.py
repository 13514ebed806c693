"""The clips of one shard on their way: decoding and preparation on a helper thread, networks on this one."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from configs.errors import RunError
from configs.paths import as_path
from extractors.core.extractor import Extractor, timed
from extractors.core.media.clip_media import FRAME_CACHE_BYTES, Media
from extractors.core.media.passages import Passages
from flows.flight import Flight
from flows.job import Job, ShardReport
from flows.places import machine_error
from flows.unforeseen import Unforeseen, unforeseen
from storage.clip import Clip
from storage.records import Failure, Features
from storage.remote import is_folder
from storage.store.shard_reader import ShardReader

GROUP_BYTES = FRAME_CACHE_BYTES  # a group holds what one clip may keep


@dataclass(slots=True)
class ReadyClip:
    """A decoded clip on its way through the extractors."""

    clip: Clip
    media: Media
    outcomes: dict[str, Features | Failure] = field(default_factory=dict)
    unforeseen: dict[str, Unforeseen] = field(default_factory=dict)
    flags: dict[str, Mapping[str, float]] = field(default_factory=dict)


class ShardWork:
    """The clips of one shard on their way through decoding and extractors.

    Args:
        job: The shard, and where stored features lie that others are computed from.
        extractors: The run's extractors by feature, each after those it needs.
        report: Seconds by stage are added to it.
        flight: Notes which clips are in hand.
        load: Loads the extractors that are needed, while the first clip is being decoded.
        stopped: Asked after each group of clips: whether the rest is to be left.
    """

    def __init__(
        self,
        job: Job,
        extractors: Mapping[str, Extractor[Any]],
        report: ShardReport,
        flight: Flight,
        load: Callable[[], None],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._load = load
        self._loaded: Future[None] = Future()
        self._stopped = stopped
        self._context, self._stored, self._extractors, self._flight = job.context, job.stored, extractors, flight
        self._job, self._report = job, report
        self._todo = {i: [name for name in extractors if name in names] for i, names in job.todo.items()}
        self._ahead: set[str] = set()  # what the helper thread extracts: that it can, and that waits for nothing else
        for name, extractor in extractors.items():
            if extractor.releases_gil and all(n in self._ahead or n not in extractors for n in extractor.needs):
                self._ahead.add(name)
        self._passages = Passages()  # segments of one file come one after another

    def run(self) -> Generator[ReadyClip, None, None]:
        """Every clip that misses something with its outcomes, in order.

        Raises:
            RunError: If the media folder is gone, or this machine has no space or no open files left.
        """
        clips = [clip for clip in self._job.shard.clips if self._todo.get(clip.id)]
        for clip in {self._context.root_of(clip): clip for clip in clips}.values():
            self._require_root(clip)
        wanted = {name for clip in clips for name in self._todo[clip.id]}
        networks = [e for name, e in self._extractors.items() if name in wanted and name not in self._ahead]
        for group in self._groups(clips, max((e.clips_at_once for e in networks), default=1)):
            for extractor in networks:
                self._extract(extractor, group)
            self._flight.end(ready.clip for ready in group)
            for ready in group:
                self._report.decoded_again += max(0, ready.media.video_passes - 1)
                ready.media.close()
                yield ready

    def _groups(self, clips: Sequence[Clip], size: int) -> Iterator[list[ReadyClip]]:
        """Clips that go through the networks together, while a helper thread prepares the next ones."""
        rest = iter(clips)

        def prepare_group() -> list[ReadyClip]:
            group: list[ReadyClip] = []
            while len(group) < size and _fits_another(group):
                clip = next(rest, None)
                if clip is None:
                    break
                group.append(self._prepare(clip))
            return group

        with ThreadPoolExecutor(1, "merflow-decode") as helper:
            ahead = helper.submit(prepare_group)
            try:
                self._load_now()
                while group := self._awaited(ahead):
                    ahead = helper.submit(prepare_group)
                    yield group
                    if self._stopped():
                        rest = iter(())
                        return
            finally:
                helper.submit(self._passages.close)

    def _awaited(self, ahead: Future[list[ReadyClip]]) -> list[ReadyClip]:
        begin = time.perf_counter()
        group = ahead.result()
        self._report.waited += time.perf_counter() - begin
        return group

    def _load_now(self) -> None:
        try:
            self._load()
        except BaseException as error:
            self._loaded.set_exception(error)
            raise
        self._loaded.set_result(None)

    def _wait_until_loaded(self, clip: Clip) -> None:
        """Wait for the extractors; what takes that long, or dies meanwhile, is not in this clip."""
        if not self._loaded.done():
            self._flight.end([clip])
            self._loaded.exception()
            self._flight.begin(clip)
        self._loaded.result()

    def _require_root(self, clip: Clip) -> None:
        """Refuse to record clips as missing where all of their media folder is."""
        root = self._context.root_of(clip)
        if not is_folder(root):
            raise RunError(f"{root}: the media folder is not there; put it back, the same command resumes")

    def _prepare(self, clip: Clip) -> ReadyClip:
        self._flight.begin(clip)
        chosen = [self._extractors[name] for name in self._todo[clip.id]]
        modalities = {modality for e in chosen for modality in e.decodes}
        audio, video = "audio" in modalities, "video" in modalities
        root, deinterlace = self._context.root_of(clip), self._context.deinterlace
        media = Media(clip, root, audio=audio, video=video, deinterlace=deinterlace, passages=self._passages)
        ready = ReadyClip(clip, media)
        try:
            with timed(self._report.seconds, "decode"):
                media.decode()
        except Exception as error:  # noqa: BLE001  # a decoder's own fault is one clip's
            self._note(error, chosen, ready)
        self._wait_until_loaded(clip)
        self._restore_inputs(clip, media, chosen)
        for extractor in chosen:
            if extractor.feature in self._ahead:
                self._extract(extractor, [ready])
        for extractor in chosen:
            if extractor.feature not in self._ahead and extractor.feature not in ready.unforeseen:
                try:
                    extractor.prepare(media)
                except Exception as error:  # noqa: BLE001
                    self._note(error, [extractor], ready)
        self._flight.step()
        return ready

    def _note(self, error: Exception, extractors: Iterable[Extractor[Any]], ready: ReadyClip) -> None:
        """Keep an error that nobody foresaw as what became of some features of a clip.

        Raises:
            RunError: If it is about no clip: one of a store, of a full disk, ...
        """
        if isinstance(error, RunError):
            raise error
        of_machine = machine_error(error)
        if of_machine is not None:
            raise of_machine from error
        for extractor in extractors:
            ready.unforeseen[extractor.feature] = unforeseen(
                error, ready.clip, extractor.feature, as_path(self._context.store), self._context.run
            )

    def _restore_inputs(self, clip: Clip, media: Media, chosen: Sequence[Extractor[Any]]) -> None:
        """Set the features that the chosen ones are computed from and that are stored already."""
        for name in {need for e in chosen for need in e.needs} - {e.feature for e in chosen}:
            stored = self._stored.get(clip.id, {}).get(name)
            if isinstance(stored, Failure):
                media.set_feature(name, Failure(clip.id, name, stored.reason, "failed in an earlier run"))
            elif stored is not None:
                with closing(ShardReader(stored.path, stored.arrays)) as reader:
                    media.set_feature(name, reader.rows(stored.start, stored.stop))

    def _extract(self, extractor: Extractor[Any], group: Sequence[ReadyClip]) -> None:
        name = extractor.feature
        for ready in group:
            broken = next((ready.unforeseen[need] for need in extractor.needs if need in ready.unforeseen), None)
            if broken is not None and name in self._todo[ready.clip.id]:
                ready.unforeseen[name] = broken.of(name)
        batch = [r for r in group if name in self._todo[r.clip.id] and name not in r.unforeseen]
        with timed(self._report.seconds, name):
            self._outcomes(extractor, batch)
        self._flight.step()
        for part, seconds in extractor.seconds.items():
            self._report.seconds[f"{extractor.feature}.{part}"] += seconds
        extractor.seconds.clear()

    def _outcomes(self, extractor: Extractor[Any], batch: Sequence[ReadyClip]) -> None:
        """What becomes of some clips; where that raises, clip by clip, so that only the one at fault has the error."""
        try:
            outcomes = extractor.outcomes([ready.media for ready in batch]) if batch else []
        except Exception as error:  # noqa: BLE001
            if len(batch) > 1 and not isinstance(error, RunError):
                for ready in batch:
                    self._outcomes(extractor, [ready])
            else:
                self._note(error, [extractor], batch[0])
            return
        for ready, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Failure) and outcome.reason == "missing_file":
                self._require_root(ready.clip)
            ready.outcomes[extractor.feature] = outcome
            ready.media.set_feature(extractor.feature, outcome)
            ready.flags[extractor.feature] = ready.media.flags(extractor.modality)


def _fits_another(group: Sequence[ReadyClip]) -> bool:
    """Whether one more clip, as large as the largest, leaves a group within its memory."""
    kept = [ready.media.kept_bytes for ready in group]
    return sum(kept) + max(kept, default=0) <= GROUP_BYTES
