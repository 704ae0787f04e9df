"""Work that is not a recipe: images in, images out; a folder that is followed; a finished run as a source."""
