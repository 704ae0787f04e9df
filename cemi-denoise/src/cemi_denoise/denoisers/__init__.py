"""What a recipe can name: classical filters, trained networks, and models of others."""
