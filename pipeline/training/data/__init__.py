"""Reading records: where they are, their order, batches of them, and masks drawn at reading."""
