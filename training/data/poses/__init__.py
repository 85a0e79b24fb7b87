"""Landmarks of clips: estimated, stored, cropped to, drawn over the frames."""
