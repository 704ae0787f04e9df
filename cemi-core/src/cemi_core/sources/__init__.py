"""Where frames come from: images, videos, arrays; vendor metadata, scan fronts and screen furniture."""
