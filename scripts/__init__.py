"""What makes the files that the package ships; run from the root of the repository."""
