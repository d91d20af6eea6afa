"""The corpus job: raw text to shards of examples, and their manifest."""
