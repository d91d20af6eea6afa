"""Units of work on any runner of Beam: what each leaves in a folder, launching them, and watching them."""
