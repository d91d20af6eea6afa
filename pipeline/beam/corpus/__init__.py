"""The corpus job, which turns raw text into shards of examples and a manifest."""
