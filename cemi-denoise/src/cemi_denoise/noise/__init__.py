"""What noise is like: how strong, how it hangs together, and how it is put on clean pictures."""
