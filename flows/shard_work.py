"""The clips of one shard on their way: decoding and preparation on a helper thread, networks on this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from configs.errors import RunError
from extractors.core.extractor import Extractor, timed
from extractors.core.media.clip_media import Media
from extractors.core.media.passages import Passages
from flows.job import Job, ShardReport
from storage.clip import Clip
from storage.records import Failure, Features
from storage.store.shard_reader import ShardReader

GROUP_BYTES = 1 << 30


@dataclass(slots=True)
class ReadyClip:
    """A decoded clip on its way through the extractors."""

    clip: Clip
    media: Media
    outcomes: dict[str, Features | Failure] = field(default_factory=dict)
    flags: dict[str, Mapping[str, float]] = field(default_factory=dict)


class ShardWork:
    """The clips of one shard on their way through decoding and extractors.

    Args:
        job: The shard, and where stored features lie that others are computed from.
        extractors: The run's extractors by feature, each after those it needs.
        todo: The features to extract from each clip.
        report: Seconds by stage are added to it.
    """

    def __init__(
        self,
        job: Job,
        extractors: Mapping[str, Extractor[Any]],
        todo: Mapping[str, Sequence[str]],
        report: ShardReport,
    ) -> None:
        self._context, self._stored, self._extractors = job.context, job.stored, extractors
        self._todo, self._report = todo, report
        self._passages = Passages()  # segments of one file come one after another

    def run(self, clips: Sequence[Clip]) -> Iterator[ReadyClip]:
        """Every clip with its outcomes, in order.

        Raises:
            RunError: If the media folder is gone.
        """
        for root in {self._context.root_of(clip) for clip in clips}:
            if not root.is_dir():
                raise RunError(f"{root}: the media folder is not there")
        wanted = {name for clip in clips for name in self._todo[clip.id]}
        networks = [e for name, e in self._extractors.items() if name in wanted and not e.releases_gil]
        for group in self._groups(clips, max((e.clips_at_once for e in networks), default=1)):
            for extractor in networks:
                self._extract(extractor, group)
            for ready in group:
                self._report.decoded_again += max(0, ready.media.video_passes - 1)
                ready.media.close()
                yield ready

    def _groups(self, clips: Sequence[Clip], size: int) -> Iterator[list[ReadyClip]]:
        """Clips that go through the networks together, while a helper thread prepares the next ones."""
        rest = iter(clips)

        def prepare_group() -> list[ReadyClip]:
            group: list[ReadyClip] = []
            while len(group) < size and sum(r.media.kept_bytes for r in group) < GROUP_BYTES:
                clip = next(rest, None)
                if clip is None:
                    break
                group.append(self._prepare(clip))
            return group

        with ThreadPoolExecutor(1, "merflow-decode") as helper:
            ahead = helper.submit(prepare_group)
            try:
                while group := ahead.result():
                    ahead = helper.submit(prepare_group)
                    yield group
            finally:
                helper.submit(self._passages.close)

    def _prepare(self, clip: Clip) -> ReadyClip:
        chosen = [self._extractors[name] for name in self._todo[clip.id]]
        modalities = {e.modality for e in chosen}
        audio, video = "audio" in modalities, "video" in modalities
        root, deinterlace = self._context.root_of(clip), self._context.deinterlace
        media = Media(clip, root, audio=audio, video=video, deinterlace=deinterlace, passages=self._passages)
        with timed(self._report.seconds, "decode"):
            media.decode()
        self._restore_inputs(clip, media, chosen)
        ready = ReadyClip(clip, media)
        for extractor in chosen:
            if extractor.releases_gil:
                self._extract(extractor, [ready])
        for extractor in chosen:
            if not extractor.releases_gil:
                extractor.prepare(media)
        return ready

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
        batch = [ready for ready in group if extractor.feature in self._todo[ready.clip.id]]
        with timed(self._report.seconds, extractor.feature):
            outcomes = extractor.outcomes([ready.media for ready in batch]) if batch else []
        for ready, outcome in zip(batch, outcomes, strict=True):
            ready.outcomes[extractor.feature] = outcome
            ready.media.set_feature(extractor.feature, outcome)
            ready.flags[extractor.feature] = ready.media.flags(extractor.modality)
        for part, seconds in extractor.seconds.items():
            self._report.seconds[f"{extractor.feature}.{part}"] += seconds
        extractor.seconds.clear()
