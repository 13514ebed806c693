"""What extractors are fed and run on: media, faces, weights, torch."""
