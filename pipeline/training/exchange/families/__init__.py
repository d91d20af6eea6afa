"""The families of Hugging Face's models that are read and written: a module and an entry in `registry` for each."""
