"""Words of emotions in several languages, for corpora that label in the language that they are in."""

from __future__ import annotations

_WORDS: dict[str, dict[str, str]] = {
    "de": {
        "angry": "ärger wut zorn wütend ärgerlich", "boredom": "langeweile", "disgust": "ekel", "fear": "angst furcht",
        "happy": "freude glück glücklich fröhlich", "neutral": "neutral", "sad": "trauer traurigkeit traurig",
        "surprise": "überraschung überrascht", "contempt": "verachtung", "calm": "ruhe ruhig",
    },
    "es": {
        "angry": "enojo ira enfado enojado", "boredom": "aburrimiento", "disgust": "asco disgusto", "fear": "miedo",
        "happy": "alegría felicidad feliz", "neutral": "neutral neutro", "sad": "tristeza triste",
        "surprise": "sorpresa", "contempt": "desprecio", "calm": "calma",
    },
    "fr": {
        "angry": "colère", "boredom": "ennui", "disgust": "dégoût", "fear": "peur", "happy": "joie bonheur heureux",
        "neutral": "neutre", "sad": "tristesse triste", "surprise": "surprise", "contempt": "mépris", "calm": "calme",
    },
    "id": {
        "angry": "marah kemarahan", "disgust": "jijik", "fear": "takut ketakutan",
        "happy": "senang bahagia kebahagiaan gembira", "neutral": "netral", "sad": "sedih kesedihan",
        "surprise": "terkejut kaget",
    },
    "it": {
        "angry": "rabbia", "disgust": "disgusto", "fear": "paura", "happy": "gioia felicità", "neutral": "neutro",
        "sad": "tristezza triste", "surprise": "sorpresa",
    },
    "ja": {
        "angry": "怒り 怒", "disgust": "嫌悪", "fear": "恐れ 恐怖", "happy": "喜び 喜", "neutral": "中立 平常",
        "sad": "悲しみ 悲", "surprise": "驚き 驚",
    },
    "pt": {
        "angry": "raiva", "disgust": "nojo", "fear": "medo", "happy": "alegria felicidade feliz", "neutral": "neutro",
        "sad": "tristeza triste", "surprise": "surpresa",
    },
    "zh": {
        "angry": "生气 愤怒 气愤", "contempt": "蔑视 轻蔑", "disgust": "厌恶 恶心", "fear": "恐惧 害怕",
        "happy": "高兴 开心 快乐", "neutral": "中性 中立 平静", "sad": "悲伤 伤心 难过",
        "surprise": "惊讶 吃惊 惊喜", "worried": "担心 担忧",
    },
}  # fmt: skip
LABEL_MAPS: dict[str, dict[str, str]] = {
    language: {word: label for label, words in labels.items() for word in words.split()}
    for language, labels in _WORDS.items()
}
"""By language: merflow's label of each word."""
