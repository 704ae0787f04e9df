"""Frames from screen recordings: decoding, the picture on the screen, whole scans, motion."""
