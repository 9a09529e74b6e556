"""Files of data sets: folders, downloads, listings and checks."""
