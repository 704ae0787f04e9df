"""How good a denoised picture is, and whether anything in it was invented."""
