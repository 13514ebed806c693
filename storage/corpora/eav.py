"""EAV: EEG, audio and video of 42 people in conversations, 200 clips of 20 s each; five emotions.

Tree: `EAV/subject1/Video/002_Trial_02_Speaking_Neutral.mp4`, `Audio/002_Trial_02_Speaking_Neutral_Aud.wav` (also
`_aud`), `EEG/subject1_eeg.mat`. Folders `subject01` and `subject01__` are read too.
Splits: none across people; the baseline divides within each, so that everyone is in train and test. Speakers are the
groups.
Quirks: in a `Listening` clip the person watches a recording: the label is the scene's, the face does not speak; `task`
is kept in `about`. Only `Speaking` clips have audio files. The path of each person's EEG is kept in `series` (variable
`seg` or `seg1`, 10000 x 30 x 200, 500 Hz); merflow does not read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles, audio_of, video_of


class EavCorpus(NamedFiles[CorpusOptions]):
    """Turns of speaking and listening with the emotion of their scene."""

    name = "eav"
    Options = CorpusOptions
    title = "EAV"
    citation = "Lee et al., EAV: EEG-Audio-Video Dataset for Emotion Recognition in Conversational Contexts, 2024"
    licence = "Zenodo 10205702; the licence of the data was not verified, read its page"
    modalities = frozenset({"audio", "video"})
    expected_clips: ClassVar[Mapping[str, int]] = {"": 8400}
    pattern = (
        r"subject(?P<subject>\d+)_*/(?:video|audio)/(?P<index>\d{3})_trial_(?P<trial>\d+)_(?P<task>listening|speaking)_"
        r"(?P<emotion>[a-z]+?)(?:_aud)?\.(?:mp4|wav)"
    )
    example = "subject1/Video/002_Trial_02_Speaking_Neutral.mp4"

    def name_of(self, file: NamedFile) -> str:
        """Subject and the clip's number within it."""
        return f"subject{int(file.parts['subject']):02d}_{file.parts['index']}"

    @cached_property
    def _eeg(self) -> dict[int, str]:
        """Path of each subject's EEG."""
        found = self.tree.matching(r"subject\d+_*/eeg/subject(?P<subject>\d+)_*eeg\.mat")
        return {int(match["subject"]): path for path, match in found}

    def row(self, clip: FilesOfClip) -> CorpusRow:
        """One turn."""
        name, files = clip
        parts, video, audio = files[0].parts, video_of(files), audio_of(files)
        subject, task = int(parts["subject"]), parts["task"].capitalize()
        fields: dict[str, Any] = {
            "language": "en",
            "speaker": f"{subject:02d}",
            "group": f"{subject:02d}",
            "label_raw": parts["emotion"].capitalize(),
            "about": {"task": task, "trial": parts["trial"]},
        }
        if subject in self._eeg:
            fields["series"] = {"eeg": self._eeg[subject]}
            fields["about"] |= {"eeg_rate": "500 Hz", "eeg_channels": "30"}
        if task == "Listening" and audio is None:
            fields["lacks"] = ("audio", "text")
        return CorpusRow(files[0].path, name, video=video, audio=audio, fields=fields)
