"""Networks: their shape, their weights, and how they run over a picture of any size."""
