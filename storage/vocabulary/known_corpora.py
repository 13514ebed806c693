"""Corpora without a reader of their own: what is known of each, and how it is ingested all the same.

Nobody here has seen their trees, so nothing is guessed: the options name what a person sees in the files.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {
    "nfed": (
        "NFED: 1,320 face clips of three seconds with emotion, gender and ethnicity, and fMRI (OpenNeuro "
        "ds005047, Zenodo 13903557). BIDS; clips in stimuli/face-video/. Its label file was not seen: merflow "
        "ingest LABELS.csv --corpus table --opt media=stimuli/face-video --opt file=COLUMN --opt label=COLUMN"
    ),
    "mmemorec": (
        "IIT-R MMEmoRec: 112,455 samples of image, speech and text in four classes (angry, happy, sad, hate), "
        "by request of faculty. The speech is synthesised. Its tree was not seen: merflow ingest TABLE.csv "
        "--corpus table --opt video=COLUMN_OF_PICTURES --opt audio=COLUMN --opt text=COLUMN --opt "
        "label=COLUMN; `hate` has no counterpart among merflow's labels and stays raw"
    ),
    "affec": (
        "AFFEC (Zenodo 14794876): EEG, gaze and facial analysis of people who look at faces; BIDS "
        "(participants.tsv, sub-xxx/). Version 0.1 has no video, so that merflow extracts nothing from it. A "
        "table of your own keeps the paths of its signals: merflow ingest TABLE.csv --corpus table --opt "
        "id=COLUMN --opt text=COLUMN --opt series=eeg:COLUMN,gaze:COLUMN"
    ),
    "emognition": (
        "Emognition (Sci Data 2022, by request): upper-body videos of 43 people without speech, with signals "
        "in <participant>/<id>_<EMOTION>_<PHASE>_<DEVICE>.json. The names of its videos were not seen: "
        "merflow ingest TABLE.csv --corpus table --opt video=COLUMN --opt label=COLUMN --opt speaker=COLUMN "
        "--opt series=muse:COLUMN,empatica:COLUMN"
    ),
    "mixed_emotion": (
        "Mixed Emotion (Sci Data 2024): 73 people watching 32 clips, faces and signals, positive, negative "
        "and mixed feelings. Its tree was not seen: merflow ingest TABLE.csv --corpus table --opt "
        "video=COLUMN --opt label=COLUMN --opt series=eeg:COLUMN,gsr:COLUMN,ppg:COLUMN"
    ),
    "ser_datasets": (
        "SuperKogito/SER-datasets: a catalogue of 77 speech corpora (src/ser-datasets.csv), not a corpus: it "
        "says where each is to be had. Ingest the corpus itself; 32 of them have lists in EmoBox (--corpus "
        "emobox)"
    ),
}
