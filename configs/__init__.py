"""Run configurations: their schema, and the ones merflow ships."""
